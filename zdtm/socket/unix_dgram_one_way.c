/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Datagram sockets of a log server: many clients are connected to it, it to nobody; one client's server is closed. */
#include "zdtm.h"

#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX }, name;
	socklen_t len = sizeof(sa_family_t), name_len = sizeof(name);
	int server, clients[2], orphan[2];
	char got[10];

	test_init(argc, argv);
	server = socket(AF_UNIX, SOCK_DGRAM, 0);
	check(bind(server, (void *)&address, len) == 0, "bind");
	len = sizeof(address);
	check(getsockname(server, (void *)&address, &len) == 0, "getsockname");
	for (int i = 0; i < 2; i++) {
		clients[i] = socket(AF_UNIX, SOCK_DGRAM, 0);
		check(connect(clients[i], (void *)&address, len) == 0 && send(clients[i], "log", 3, 0) == 3, "connect");
	}
	check(socketpair(AF_UNIX, SOCK_DGRAM, 0, orphan) == 0 && send(orphan[1], "bye", 3, 0) == 3, "socketpair");
	check(close(orphan[1]) == 0, "close");

	test_daemon();
	test_waitsig();

	check(getpeername(server, (void *)&name, &name_len) == -1 && errno == ENOTCONN, "the server is connected");
	for (int i = 0; i < 2; i++) {
		check(recv(server, got, sizeof(got), MSG_DONTWAIT) == 3, "message %d is lost", i);
		name_len = sizeof(name);
		check(getpeername(clients[i], (void *)&name, &name_len) == 0, "client %d is not connected", i);
		check(name_len == len && !memcmp(&name, &address, len), "client %d is connected elsewhere", i);
	}
	check(send(clients[1], "more", 4, 0) == 4 && recv(server, got, sizeof(got), 0) == 4, "send");
	check(recv(orphan[0], got, sizeof(got), MSG_DONTWAIT) == 3 && !memcmp(got, "bye", 3), "the orphan's message");
	check(send(orphan[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == ECONNREFUSED, "the orphan has a peer");
	return pass();
}
