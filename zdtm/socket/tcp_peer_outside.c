/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A peer outside of the tree, which sends all the time and checks what comes back, does not notice (--tcp-established). */
#include "zdtm.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

/* Sends numbers, expects each back in its order, and tells at the end whether all was well. */
static void peer(int fd)
{
	uint32_t out = 0, in = 0, back;
	struct pollfd ready = { .fd = fd };

	for (;;) {
		/* A thousand at most are under way. */
		ready.events = POLLIN | (out - in < 1000 ? POLLOUT : 0);
		if (poll(&ready, 1, 60000) <= 0)
			_exit(1);
		if (ready.revents & POLLIN) {
			ssize_t n = recv(fd, &back, sizeof(back), MSG_WAITALL);

			if (n != sizeof(back) || (back != in && back != UINT32_MAX))
				_exit(1);
			if (back == UINT32_MAX)
				break;
			in++;
		}
		if (ready.revents & POLLOUT && send(fd, &out, sizeof(out), MSG_NOSIGNAL) == sizeof(out))
			out++;
	}
	/* The last number asks how it went. */
	_exit(send(fd, "well", 4, MSG_NOSIGNAL) != 4);
}

/* One number; a signal may come in between. */
static uint32_t next(int fd)
{
	uint32_t number;
	size_t len = 0;

	while (len < sizeof(number)) {
		ssize_t n = recv(fd, (char *)&number + len, sizeof(number) - len, 0);

		check(n > 0 || (n < 0 && errno == EINTR), "recv");
		len += n > 0 ? n : 0;
	}
	return number;
}

static void echo(int fd, uint32_t expected)
{
	uint32_t number = next(fd);

	check(number == expected, "got %u instead of %u", number, expected);
	check(send(fd, &number, sizeof(number), MSG_NOSIGNAL) == sizeof(number), "send");
}

int main(int argc, char **argv)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint32_t number, expected = 0, end = UINT32_MAX, after = 0, last = 0;
	socklen_t len = sizeof(name);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd, null;

	check(bind(listener, (void *)&name, len) == 0 && listen(listener, 1) == 0, "listen");
	check(getsockname(listener, (void *)&name, &len) == 0, "getsockname");
	if (fork() == 0) {
		/* Not a child of the test, which test_init() is about to fork. */
		null = open("/dev/null", O_RDWR);
		dup2(null, 0), dup2(null, 1), dup2(null, 2);
		for (int other = 3; other < 1000; other++)
			if (other != listener)
				close(other);
		fd = accept(listener, NULL, NULL);
		close(listener);
		setsid();
		peer(fd);
	}
	check(close(listener) == 0, "close");
	test_init(argc, argv);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	check(connect(fd, (void *)&name, len) == 0, "connect");

	test_daemon();
	while (test_go())
		echo(fd, expected++);
	/* A few thousand more, then the end. */
	while (after++ < 5000)
		echo(fd, expected++);
	check(send(fd, &end, sizeof(end), MSG_NOSIGNAL) == sizeof(end), "send");
	while (recv(fd, &number, sizeof(number), MSG_WAITALL) == sizeof(number))
		last = number;
	check(!memcmp(&last, "well", 4), "the peer has noticed something");
	return pass();
}
