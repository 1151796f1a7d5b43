/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Two sockets listen on one port by SO_REUSEPORT (socket(7)); the first has switched it off since. */
#include "zdtm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static struct sockaddr_in name = { .sin_family = AF_INET };

static int listening(void)
{
	socklen_t len = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

	check(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0, "SO_REUSEPORT");
	check(bind(fd, (void *)&name, len) == 0 && getsockname(fd, (void *)&name, &len) == 0, "bind");
	check(listen(fd, 64) == 0, "listen");
	return fd;
}

static int shares(int fd)
{
	int on = -1;
	socklen_t len = sizeof(on);

	check(getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, &len) == 0, "SO_REUSEPORT");
	return on;
}

static int accepted(int fd)
{
	int count = 0, one;

	while ((one = accept(fd, NULL, NULL)) >= 0 && close(one) == 0)
		count++;
	check(errno == EAGAIN, "accept");
	errno = 0;
	return count;
}

int main(int argc, char **argv)
{
	int first, second, off = 0, got[2];

	test_init(argc, argv);
	name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	first = listening();
	second = listening();
	check(setsockopt(first, SOL_SOCKET, SO_REUSEPORT, &off, sizeof(off)) == 0, "SO_REUSEPORT");

	test_daemon();
	test_waitsig();

	check(shares(first) == 0 && shares(second) == 1, "SO_REUSEPORT is %d and %d", shares(first), shares(second));
	for (int i = 0; i < 32; i++) {
		int client = socket(AF_INET, SOCK_STREAM, 0);

		check(connect(client, (void *)&name, sizeof(name)) == 0 && close(client) == 0, "connect");
	}
	got[0] = accepted(first);
	got[1] = accepted(second);
	check(got[0] + got[1] == 32, "%d and %d of 32 were accepted", got[0], got[1]);
	return pass();
}
