/* Takes connections to 127.0.0.1 at the port that is its argument, and closes them. Writes "good" when it listens. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	setsid();
	name.sin_port = htons(argc > 1 ? atoi(argv[1]) : 0);
	if (bind(listener, (struct sockaddr *)&name, sizeof(name)) || listen(listener, 5))
		return 1;
	if (write(1, "good\n", 5) != 5)
		return 2;
	for (;;)
		close(accept(listener, NULL, NULL));
}
