/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A server and its clients in other processes talk on over the connections that they have (unix(7)). */
#include "zdtm.h"

#include <sys/socket.h>
#include <sys/un.h>

#define CLIENTS 3

static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t len = sizeof(sa_family_t);
static int server;

static int client(void *argument)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), number = *(int *)argument, got = -1;

	check(close(server) == 0 && connect(fd, (void *)&address, len) == 0, "connect");
	check(write(fd, &number, sizeof(number)) == sizeof(number), "write");
	test_waitsig();
	number *= 7;
	check(write(fd, &number, sizeof(number)) == sizeof(number), "write");
	/* Another SIGTERM comes from test_join(). */
	while (read(fd, &got, sizeof(got)) == -1 && errno == EINTR)
		;
	check(got == number + 1, "the answer is %d", got);
	return 0;
}

int main(int argc, char **argv)
{
	int accepted[CLIENTS], numbers[CLIENTS], got;
	pid_t children[CLIENTS];

	test_init(argc, argv);
	server = socket(AF_UNIX, SOCK_STREAM, 0);
	check(bind(server, (void *)&address, len) == 0, "bind");
	len = sizeof(address);
	check(getsockname(server, (void *)&address, &len) == 0 && listen(server, CLIENTS) == 0, "listen");
	for (int i = 0; i < CLIENTS; i++) {
		got = i;
		children[i] = test_fork(client, &got);
		accepted[i] = accept(server, NULL, NULL);
		check(accepted[i] >= 0 && read(accepted[i], &numbers[i], sizeof(int)) == sizeof(int), "accept");
		wait_asleep(children[i]);
	}

	test_daemon();
	test_waitsig();

	for (int i = 0; i < CLIENTS; i++)
		check(kill(children[i], SIGTERM) == 0, "kill");
	for (int i = 0; i < CLIENTS; i++) {
		check(read(accepted[i], &got, sizeof(got)) == sizeof(got), "read");
		check(got == numbers[i] * 7, "connection %d leads to client %d", i, got / 7);
		got++;
		check(write(accepted[i], &got, sizeof(got)) == sizeof(got), "write");
		test_join(children[i]);
	}
	return pass();
}
