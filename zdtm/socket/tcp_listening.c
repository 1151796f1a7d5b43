/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Listening TCP sockets, one of them shared with a child: port, backlog and descriptor go on to take connections. */
#include "zdtm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static int listener(int family, struct sockaddr_storage *name, int backlog)
{
	socklen_t len = sizeof(*name);
	int fd = socket(family, SOCK_STREAM, 0);

	check(fd >= 0, "socket");
	memset(name, 0, sizeof(*name));
	name->ss_family = family;
	if (family == AF_INET)
		((struct sockaddr_in *)name)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)name)->sin6_addr = in6addr_loopback;
	check(bind(fd, (void *)name, len) == 0 && listen(fd, backlog) == 0, "listen");
	check(getsockname(fd, (void *)name, &len) == 0, "getsockname");
	return fd;
}

static void check_backlog(int fd, unsigned int backlog)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	check(getsockopt(fd, SOL_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_sacked == backlog,
	      "the backlog is %u instead of %u", info.tcpi_sacked, backlog);
}

static void connect_to(const struct sockaddr_storage *name)
{
	int fd = socket(name->ss_family, SOCK_STREAM, 0);

	check(fd >= 0 && connect(fd, (void *)name, sizeof(*name)) == 0, "connect");
	check(send(fd, "hello", 5, 0) == 5 && close(fd) == 0, "send");
}

static void accept_from(int listening)
{
	char text[8] = "";
	int fd = accept(listening, NULL, NULL);

	check(fd >= 0 && recv(fd, text, sizeof(text), MSG_WAITALL) == 5 && !strcmp(text, "hello"), "accept");
}

static int accepts(void *listening)
{
	test_waitsig();
	accept_from(*(int *)listening);
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_storage one, other, now;
	socklen_t len = sizeof(now);
	int first, second;
	pid_t child;

	test_init(argc, argv);
	first = listener(AF_INET, &one, 7);
	second = listener(AF_INET6, &other, 90);
	child = test_fork(accepts, &first);

	test_daemon();
	test_waitsig();

	check(getsockname(first, (void *)&now, &len) == 0 && !memcmp(&now, &one, sizeof(struct sockaddr_in)), "name");
	check_backlog(first, 7);
	check_backlog(second, 90);
	connect_to(&one);
	test_join(child);
	connect_to(&other);
	accept_from(second);
	return pass();
}
