/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* TCP sockets that are not connected yet: one new, one bound, each with options of tcp(7). */
#include "zdtm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static const struct {
	int name, value;
} options[] = {
	{ TCP_NODELAY, 1 },    { TCP_KEEPIDLE, 77 },	 { TCP_KEEPINTVL, 12 }, { TCP_KEEPCNT, 3 },	  { TCP_SYNCNT, 4 },
	{ TCP_LINGER2, 9 },    { TCP_USER_TIMEOUT, 12345 }, { TCP_MAXSEG, 1000 },	{ TCP_WINDOW_CLAMP, 5000 },
	{ TCP_NOTSENT_LOWAT, 4096 },
};

static int value_of(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	check(getsockopt(fd, SOL_TCP, name, &value, &len) == 0, "getsockopt %d", name);
	return value;
}

int main(int argc, char **argv)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) }, now;
	char congestion[16] = "";
	socklen_t len = sizeof(name);
	int before[ARRAY_SIZE(options)], fresh, bound, client, on = 1;

	test_init(argc, argv);
	fresh = socket(AF_INET6, SOCK_STREAM, 0);
	bound = socket(AF_INET, SOCK_STREAM, 0);
	check(bind(bound, (void *)&name, sizeof(name)) == 0 && getsockname(bound, (void *)&name, &len) == 0, "bind");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		check(setsockopt(fresh, SOL_TCP, options[i].name, &options[i].value, sizeof(int)) == 0, "option %d",
		      options[i].name);
		before[i] = value_of(fresh, options[i].name);
	}
	check(setsockopt(bound, SOL_TCP, TCP_CONGESTION, "reno", 4) == 0, "TCP_CONGESTION");
	check(setsockopt(fresh, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0, "IPV6_V6ONLY");

	test_daemon();
	test_waitsig();

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		check(value_of(fresh, options[i].name) == before[i], "option %d is %d instead of %d", options[i].name,
		      value_of(fresh, options[i].name), before[i]);
	len = sizeof(congestion);
	check(getsockopt(bound, SOL_TCP, TCP_CONGESTION, congestion, &len) == 0 && !strcmp(congestion, "reno"), "congestion");
	len = sizeof(on);
	check(getsockopt(fresh, IPPROTO_IPV6, IPV6_V6ONLY, &on, &len) == 0 && on == 1, "IPV6_V6ONLY is off");
	len = sizeof(now);
	check(getsockname(bound, (void *)&now, &len) == 0 && now.sin_port == name.sin_port, "another port");
	check(getsockopt(bound, SOL_SOCKET, SO_REUSEADDR, &on, &len) == 0 && on == 0, "SO_REUSEADDR is on");
	check(listen(bound, 1) == 0, "listen");
	client = socket(AF_INET, SOCK_STREAM, 0);
	check(connect(client, (void *)&name, sizeof(name)) == 0 && accept(bound, NULL, NULL) >= 0, "connect");
	return pass();
}
