/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Connections that are over (tcp(7)) give what was not read, then the end; one that was reset gives the error before that. */
#include "zdtm.h"
#include "inet.h"

#include <netinet/tcp.h>

/* A connection whose ends have both their name, at ends[0] and ends[1]; something waits at the first. */
static void connected(int family, int ends[2])
{
	struct sockaddr_storage name;
	socklen_t len = loopback(family, &name);
	int listener = socket(family, SOCK_STREAM, 0);

	ends[1] = socket(family, SOCK_STREAM, 0);
	check(bind(listener, (void *)&name, len) == 0 && listen(listener, 1) == 0, "listen");
	check(getsockname(listener, (void *)&name, &len) == 0 && connect(ends[1], (void *)&name, len) == 0, "connect");
	ends[0] = accept(listener, NULL, NULL);
	check(ends[0] >= 0 && close(listener) == 0, "accept");
	check(write(ends[1], "unread", 6) == 6, "write");
}

static int state(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	check(getsockopt(fd, SOL_TCP, TCP_INFO, &info, &len) == 0, "TCP_INFO");
	return info.tcpi_state;
}

static void ends(int fd)
{
	for (int tries = 0; state(fd) != TCP_CLOSE; tries++) {
		check(tries < 5000, "the state is %d", state(fd));
		usleep(1000);
	}
}

int main(int argc, char **argv)
{
	struct linger reset = { .l_onoff = 1 };
	struct sockaddr_storage before[4], name;
	socklen_t len;
	int fds[4], pair[2];
	char got[10];

	test_init(argc, argv);
	for (int i = 0; i < 4; i++) {
		connected(i < 2 ? AF_INET : AF_INET6, pair);
		if (i % 2 == 0)
			check(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) == 0, "SO_LINGER");
		else
			check(shutdown(pair[0], SHUT_WR) == 0 && read(pair[1], got, 1) == 0, "shutdown");
		check(close(pair[1]) == 0, "close");
		ends(fds[i] = pair[0]);
		len = sizeof(before[i]);
		check(getsockname(fds[i], (void *)&before[i], &len) == 0, "getsockname");
	}

	test_daemon();
	test_waitsig();

	for (int i = 0; i < 4; i++) {
		len = sizeof(name);
		check(getsockname(fds[i], (void *)&name, &len) == 0 && !memcmp(&name, &before[i], len), "the name of %d", i);
		check(getpeername(fds[i], (void *)&name, &len) == -1 && errno == ENOTCONN, "%d is connected", i);
		check(state(fds[i]) == TCP_CLOSE, "the state of %d is %d", i, state(fds[i]));
		check(read(fds[i], got, sizeof(got)) == 6 && !memcmp(got, "unread", 6), "the unread bytes of %d", i);
		if (i % 2 == 0)
			check(read(fds[i], got, sizeof(got)) == -1 && errno == ECONNRESET, "the error of %d", i);
		errno = 0;
		check(read(fds[i], got, sizeof(got)) == 0, "the end of %d", i);
		check(send(fds[i], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "%d can be written to", i);
	}
	return pass();
}
