/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Sockets bound by IP_FREEBIND (ip(7)) to addresses that no interface has; the option was switched off since. */
#include "zdtm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int bound(const char *address, int port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1, on = 1, off = 0;
	int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);

	check(is_v4 || inet_pton(AF_INET6, address, &v6.sin6_addr) == 1, "inet_pton %s", address);
	check(setsockopt(fd, SOL_IP, IP_FREEBIND, &on, sizeof(on)) == 0, "IP_FREEBIND");
	check(bind(fd, is_v4 ? (void *)&v4 : (void *)&v6, is_v4 ? sizeof(v4) : sizeof(v6)) == 0, "bind to %s", address);
	check(setsockopt(fd, SOL_IP, IP_FREEBIND, &off, sizeof(off)) == 0, "IP_FREEBIND");
	return fd;
}

static void has_name(int fd, const char *address, int port)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name), size = sizeof(int);
	struct sockaddr_in *v4 = (void *)&name;
	struct sockaddr_in6 *v6 = (void *)&name;
	char text[INET6_ADDRSTRLEN];
	int freebind = -1;

	check(getsockname(fd, (void *)&name, &len) == 0, "getsockname");
	inet_ntop(name.ss_family, name.ss_family == AF_INET ? (void *)&v4->sin_addr : (void *)&v6->sin6_addr, text,
		  sizeof(text));
	check(strcmp(text, address) == 0 && ntohs(v4->sin_port) == port, "the name is %s %d", text, ntohs(v4->sin_port));
	check(getsockopt(fd, SOL_IP, IP_FREEBIND, &freebind, &size) == 0 && !freebind, "IP_FREEBIND is %d", freebind);
}

int main(int argc, char **argv)
{
	int first, second;

	test_init(argc, argv);
	/* Addresses for documentation, RFC 5737 and 3849. */
	first = bound("192.0.2.77", 7701);
	second = bound("2001:db8::77", 7702);

	test_daemon();
	test_waitsig();

	has_name(first, "192.0.2.77", 7701);
	has_name(second, "2001:db8::77", 7702);
	return pass();
}
