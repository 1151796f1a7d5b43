/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Connections that one end or both have shut down, in every state that lasts (tcp(7), RFC 9293): what was sent before
 * arrives, then the end; the other direction goes on. */
#include "zdtm.h"
#include "inet.h"

#include <fcntl.h>
#include <netinet/tcp.h>

static char large[4 << 20], got[4 << 20];

/* A connection whose ends have both their name, at ends[0] and ends[1]. */
static void connected(int family, int ends[2])
{
	struct sockaddr_storage name;
	socklen_t len = loopback(family, &name);
	int listener = socket(family, SOCK_STREAM, 0);

	ends[0] = socket(family, SOCK_STREAM, 0);
	check(bind(listener, (void *)&name, len) == 0 && listen(listener, 1) == 0, "listen");
	check(getsockname(listener, (void *)&name, &len) == 0 && connect(ends[0], (void *)&name, len) == 0, "connect");
	ends[1] = accept(listener, NULL, NULL);
	check(ends[1] >= 0 && close(listener) == 0, "accept");
}

static int state(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	check(getsockopt(fd, SOL_TCP, TCP_INFO, &info, &len) == 0, "TCP_INFO");
	return info.tcpi_state;
}

static void comes_to(int fd, int expected)
{
	for (int tries = 0; state(fd) != expected; tries++) {
		check(tries < 5000, "the state is %d and not %d", state(fd), expected);
		usleep(1000);
	}
}

/* Writes until nothing more is taken; what the other end has not read keeps the FIN from being sent. */
static size_t fill(int fd)
{
	size_t len = 0;
	ssize_t n;

	check(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "O_NONBLOCK");
	while ((n = write(fd, large + len, sizeof(large) - len)) > 0)
		len += n;
	check(len < sizeof(large), "everything fits");
	return len;
}

static void read_to_end(int fd, size_t expected)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, got + len, sizeof(got) - len)) > 0)
		len += n;
	check(n == 0 && len == expected, "%zu bytes of %zu, and then %zd", len, expected, n);
	check(memcmp(got, large, len) == 0, "other bytes than were sent");
}

int main(int argc, char **argv)
{
	int half[2][2], first[2], last[2];
	size_t before_first, before_last;

	test_init(argc, argv);
	pattern_fill(large, sizeof(large), 7);
	for (int i = 0; i < 2; i++) {
		connected(i ? AF_INET6 : AF_INET, half[i]);
		check(write(half[i][0], large, 500) == 500 && write(half[i][1], large, 300) == 300, "write");
		check(shutdown(half[i][0], SHUT_WR) == 0, "shutdown");
		comes_to(half[i][0], TCP_FIN_WAIT2);
		comes_to(half[i][1], TCP_CLOSE_WAIT);
	}
	connected(AF_INET, first);
	before_first = fill(first[0]);
	check(shutdown(first[0], SHUT_WR) == 0 && state(first[0]) == TCP_FIN_WAIT1, "state %d", state(first[0]));
	connected(AF_INET, last);
	check(shutdown(last[0], SHUT_WR) == 0, "shutdown");
	comes_to(last[1], TCP_CLOSE_WAIT);
	before_last = fill(last[1]);
	check(shutdown(last[1], SHUT_WR) == 0 && state(last[1]) == TCP_LAST_ACK, "state %d", state(last[1]));

	test_daemon();
	test_waitsig();

	for (int i = 0; i < 2; i++) {
		check(state(half[i][0]) == TCP_FIN_WAIT2, "the state is %d", state(half[i][0]));
		check(state(half[i][1]) == TCP_CLOSE_WAIT, "the state is %d", state(half[i][1]));
		read_to_end(half[i][1], 500);
		check(send(half[i][0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE,
		      "an end that is shut down can be written to");
		errno = 0;
		check(write(half[i][1], large + 300, 200) == 200 && close(half[i][1]) == 0, "write");
		read_to_end(half[i][0], 500);
	}
	check(state(first[0]) == TCP_FIN_WAIT1, "the state is %d", state(first[0]));
	read_to_end(first[1], before_first);
	comes_to(first[0], TCP_FIN_WAIT2);
	check(state(last[1]) == TCP_LAST_ACK, "the state is %d", state(last[1]));
	read_to_end(last[0], before_last);
	comes_to(last[1], TCP_CLOSE);
	return pass();
}
