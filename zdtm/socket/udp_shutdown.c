/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Connected UDP sockets after shutdown(2) of one direction or of both. */
#include "zdtm.h"
#include "inet.h"

#include <poll.h>

static int connected(int family)
{
	struct sockaddr_storage name;
	socklen_t len = loopback(family, &name);
	int fd = socket(family, SOCK_DGRAM, 0);

	/* To itself. */
	check(bind(fd, (void *)&name, len) == 0 && getsockname(fd, (void *)&name, &len) == 0, "bind");
	check(connect(fd, (void *)&name, len) == 0, "connect");
	return fd;
}

static int can_send(int fd)
{
	int sent = send(fd, "x", 1, MSG_NOSIGNAL);

	check(sent == 1 || errno == EPIPE, "send");
	errno = 0;
	return sent == 1;
}

static int can_read(int fd)
{
	struct pollfd end = { .fd = fd, .events = POLLRDHUP };

	return poll(&end, 1, 0) == 0;
}

int main(int argc, char **argv)
{
	static const int ways[] = { SHUT_RD, SHUT_WR, SHUT_RDWR };
	int fds[2][3], open_one;

	test_init(argc, argv);
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 3; j++) {
			fds[i][j] = connected(i ? AF_INET6 : AF_INET);
			check(shutdown(fds[i][j], ways[j]) == 0, "shutdown");
		}
	open_one = connected(AF_INET);

	test_daemon();
	test_waitsig();

	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 3; j++) {
			check(can_read(fds[i][j]) == (ways[j] == SHUT_WR), "reading after shutdown %d", ways[j]);
			check(can_send(fds[i][j]) == (ways[j] == SHUT_RD), "writing after shutdown %d", ways[j]);
		}
	check(can_read(open_one) && can_send(open_one), "a socket is shut down that was not");
	return pass();
}
