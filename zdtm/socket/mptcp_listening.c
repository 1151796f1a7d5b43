/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Sockets of MPTCP that listen take connections of either kind; one of plain TCP is a socket of TCP. */
#include "zdtm.h"
#include "inet.h"

#include <netinet/tcp.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static int protocol(int fd)
{
	int value;
	socklen_t len = sizeof(value);

	check(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &value, &len) == 0, "SO_PROTOCOL");
	return value;
}

/* Connects to a listening socket, and talks by the connection. */
static void accepts(int listener, int family, int by)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	int fd = socket(family, SOCK_STREAM, by), accepted;
	char got[5];

	check(getsockname(listener, (void *)&name, &len) == 0, "getsockname");
	check(fd >= 0 && connect(fd, (void *)&name, len) == 0, "connect");
	accepted = accept(listener, NULL, NULL);
	check(accepted >= 0 && protocol(accepted) == by, "the connection is of protocol %d", protocol(accepted));
	check(send(fd, "hello", 5, 0) == 5 && recv(accepted, got, 5, MSG_WAITALL) == 5, "send and recv");
	check(close(fd) == 0 && close(accepted) == 0, "close");
}

int main(int argc, char **argv)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int listeners[2], fresh, client, accepted, idle = 77;
	struct sockaddr_storage name;
	struct tcp_info info;
	socklen_t len;
	char got[5];

	test_init(argc, argv);
	for (int i = 0; i < 2; i++) {
		len = loopback(families[i], &name);
		listeners[i] = socket(families[i], SOCK_STREAM, IPPROTO_MPTCP);
		check(listeners[i] >= 0 && bind(listeners[i], (void *)&name, len) == 0, "bind");
		check(listen(listeners[i], 5 + i) == 0, "listen");
	}
	fresh = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	len = sizeof(name);
	check(setsockopt(fresh, SOL_SOCKET, SO_PRIORITY, &(int){ 3 }, sizeof(int)) == 0, "SO_PRIORITY");
	check(getsockname(listeners[0], (void *)&name, &len) == 0, "getsockname");
	client = socket(AF_INET, SOCK_STREAM, 0);
	check(connect(client, (void *)&name, len) == 0, "connect");
	accepted = accept(listeners[0], NULL, NULL);
	check(accepted >= 0 && protocol(accepted) == IPPROTO_TCP, "accept");
	check(setsockopt(accepted, SOL_TCP, TCP_KEEPIDLE, &idle, sizeof(idle)) == 0, "TCP_KEEPIDLE");

	test_daemon();
	test_waitsig();

	for (int i = 0; i < 2; i++) {
		check(protocol(listeners[i]) == IPPROTO_MPTCP, "the protocol is %d", protocol(listeners[i]));
		len = sizeof(info);
		check(getsockopt(listeners[i], SOL_TCP, TCP_INFO, &info, &len) == 0, "TCP_INFO");
		check(info.tcpi_sacked == 5u + i, "the backlog is %u", info.tcpi_sacked);
		accepts(listeners[i], families[i], IPPROTO_TCP);
		accepts(listeners[i], families[i], IPPROTO_MPTCP);
	}
	len = sizeof(idle);
	check(getsockopt(fresh, SOL_SOCKET, SO_PRIORITY, &idle, &len) == 0 && idle == 3, "SO_PRIORITY is %d", idle);
	check(protocol(fresh) == IPPROTO_MPTCP && connect(fresh, (void *)&name, sizeof(struct sockaddr_in)) == 0, "connect");
	check(send(client, "hello", 5, 0) == 5 && recv(accepted, got, 5, MSG_WAITALL) == 5, "the connection is gone");
	check(getsockopt(accepted, SOL_TCP, TCP_KEEPIDLE, &idle, &len) == 0 && idle == 77, "TCP_KEEPIDLE is %d", idle);
	return pass();
}
