/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Connections that nobody has accepted yet wait in their order, and the backlog stays (listen(2)). */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CLIENTS 3

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sa_family_t);
	int server, clients[CLIENTS + 1], accepted;
	char got[10];

	test_init(argc, argv);
	server = socket(AF_UNIX, SOCK_STREAM, 0);
	check(bind(server, (void *)&address, len) == 0, "bind without a name");
	len = sizeof(address);
	check(getsockname(server, (void *)&address, &len) == 0 && address.sun_path[0] == 0, "getsockname");
	check(listen(server, CLIENTS - 1) == 0, "listen");
	for (int i = 0; i <= CLIENTS; i++)
		clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	/* The last is the first to connect. */
	for (int i = CLIENTS - 1; i >= 0; i--)
		check(connect(clients[i], (void *)&address, len) == 0, "connect");

	test_daemon();
	test_waitsig();

	check(connect(clients[CLIENTS], (void *)&address, len) == -1 && errno == EAGAIN, "the backlog has grown");
	for (int i = CLIENTS - 1; i >= 0; i--) {
		char mark = 'a' + i;

		check(send(clients[i], &mark, 1, 0) == 1, "send");
		accepted = accept(server, NULL, NULL);
		check(accepted >= 0 && recv(accepted, got, sizeof(got), MSG_DONTWAIT) == 1, "accept");
		check(got[0] == mark, "%c was accepted instead of %c", got[0], mark);
		check(write(accepted, "ok", 2) == 2 && recv(clients[i], got, sizeof(got), 0) == 2, "the way back");
	}
	check(fcntl(server, F_SETFL, O_NONBLOCK) == 0 && accept(server, NULL, NULL) == -1, "there is another one");
	return pass();
}
