/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Connections between processes of a tree, with unread and unsent bytes, for both versions (tcp(7), --tcp-established). */
#include "zdtm.h"
#include "inet.h"

#include <fcntl.h>
#include <netinet/tcp.h>

#ifndef SO_TXREHASH
#define SO_TXREHASH 74
#endif

#define SMALL 1000
static struct barrier *closed;
static char large[1 << 20], got[1 << 20];

static void connected(int family, int *server, int *client)
{
	struct sockaddr_storage name;
	socklen_t len = loopback(family, &name);
	int listener = socket(family, SOCK_STREAM, 0);

	*client = socket(family, SOCK_STREAM, 0);
	check(bind(listener, (void *)&name, len) == 0 && listen(listener, 1) == 0, "listen");
	check(getsockname(listener, (void *)&name, &len) == 0 && connect(*client, (void *)&name, len) == 0, "connect");
	*server = accept(listener, NULL, NULL);
	/* The listening socket of the first version stays. */
	check(*server >= 0 && (family == AF_INET || close(listener) == 0), "accept");
}

/* Reads what waits, and everything that follows until the end. */
static int reads_all(void *argument)
{
	int fd = ((int *)argument)[0];
	size_t len = 0;
	ssize_t n;

	check(close(((int *)argument)[1]) == 0, "close");
	barrier_post(closed);
	test_waitsig();
	while ((n = read(fd, got + len, sizeof(got) - len)) > 0)
		len += n;
	check(n == 0 && len > SMALL, "%zd bytes, and then %zd", len, n);
	check(!memcmp(got, large, len), "other bytes than were sent");
	return 0;
}

int main(int argc, char **argv)
{
	int server, client, pair6[2], idle = 123, now = 0, off = 1, no = 0;
	socklen_t size = sizeof(now);
	bool may_stay;
	ssize_t sent;
	pid_t child;

	test_init(argc, argv);
	pattern_fill(large, sizeof(large), 5);
	connected(AF_INET, &server, &client);
	connected(AF_INET6, &pair6[0], &pair6[1]);
	check(setsockopt(client, SOL_TCP, TCP_KEEPIDLE, &idle, sizeof(idle)) == 0, "TCP_KEEPIDLE");
	/* Since Linux 5.18. */
	may_stay = setsockopt(client, SOL_SOCKET, SO_TXREHASH, &no, sizeof(no)) == 0;
	check(write(server, large, SMALL) == SMALL && write(client, large, 7) == 7, "write");
	/* As much as both queues take. */
	check(fcntl(pair6[1], F_SETFL, O_NONBLOCK) == 0, "O_NONBLOCK");
	for (sent = 0; sent < (ssize_t)sizeof(large) - 1;) {
		ssize_t n = write(pair6[1], large + sent, sizeof(large) - 1 - sent);

		if (n <= 0)
			break;
		sent += n;
	}
	check(sent > SMALL, "%zd bytes fit", sent);
	closed = barrier_new();
	child = test_fork(reads_all, pair6);
	barrier_wait(closed, 1);

	test_daemon();
	test_waitsig();

	check(read(client, got, sizeof(got)) == SMALL && !memcmp(got, large, SMALL), "the bytes of the server");
	check(read(server, got, sizeof(got)) == 7 && !memcmp(got, large, 7), "the bytes of the client");
	check(getsockopt(client, SOL_TCP, TCP_KEEPIDLE, &now, &size) == 0 && now == idle, "TCP_KEEPIDLE is %d", now);
	check(!may_stay || (getsockopt(client, SOL_SOCKET, SO_TXREHASH, &now, &size) == 0 && now == 0), "SO_TXREHASH is %d",
	      now);
	check(getsockopt(client, SOL_SOCKET, SO_REUSEADDR, &off, &size) == 0 && !off, "SO_REUSEADDR is on");
	check(write(server, "more", 4) == 4 && recv(client, got, 4, MSG_WAITALL) == 4, "it does not go on");
	check(close(pair6[0]) == 0 && close(pair6[1]) == 0, "close");
	test_join(child);
	check(close(server) == 0 && read(client, got, sizeof(got)) == 0, "the end does not arrive");
	return pass();
}
