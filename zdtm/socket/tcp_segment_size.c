/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The size of segments (TCP_MAXSEG of a connection, tcp(7)): that of the path and the handshake, not the smallest. */
#include "zdtm.h"
#include "inet.h"

#include <netinet/tcp.h>

#define CONNECTIONS 3

/* Both ends of a connection: of either version, or of the first one by a socket of the second. */
static void connected(int kind, int ends[2])
{
	int family = kind == 1 ? AF_INET6 : AF_INET, client = kind == 0 ? AF_INET : AF_INET6;
	struct sockaddr_storage name;
	socklen_t len = loopback(family, &name);
	int listener = socket(family, SOCK_STREAM, 0);

	check(bind(listener, (void *)&name, len) == 0 && listen(listener, 1) == 0, "listen");
	check(getsockname(listener, (void *)&name, &len) == 0, "getsockname");
	ends[1] = socket(client, SOCK_STREAM, 0);
	if (family != client) {
		struct sockaddr_in *first = (void *)&name;
		struct sockaddr_in6 mapped = { .sin6_family = AF_INET6, .sin6_port = first->sin_port };

		mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
		memcpy(mapped.sin6_addr.s6_addr + 12, &first->sin_addr, 4);
		memcpy(&name, &mapped, len = sizeof(mapped));
	}
	check(connect(ends[1], (void *)&name, len) == 0, "connect");
	ends[0] = accept(listener, NULL, NULL);
	check(ends[0] >= 0 && close(listener) == 0, "accept");
}

static int segment(int fd)
{
	int size = 0;
	socklen_t len = sizeof(size);

	check(getsockopt(fd, SOL_TCP, TCP_MAXSEG, &size, &len) == 0, "TCP_MAXSEG");
	return size;
}

int main(int argc, char **argv)
{
	int ends[CONNECTIONS][2], before[CONNECTIONS][2];

	test_init(argc, argv);
	for (int kind = 0; kind < CONNECTIONS; kind++) {
		connected(kind, ends[kind]);
		for (int end = 0; end < 2; end++) {
			before[kind][end] = segment(ends[kind][end]);
			check(before[kind][end] > 1000, "segments of %d bytes", before[kind][end]);
		}
	}
	test_daemon();
	test_waitsig();
	for (int kind = 0; kind < CONNECTIONS; kind++)
		for (int end = 0; end < 2; end++) {
			int now = segment(ends[kind][end]);

			/* It follows the largest window there was, which differs by the length of options. */
			check(abs(now - before[kind][end]) < before[kind][end] / 100, "segments of %d bytes, not %d, at end %d of %d", now,
			      before[kind][end], end, kind);
		}
	return pass();
}
