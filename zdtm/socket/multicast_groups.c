/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Memberships of multicast groups with their sources, for both versions (ip(7), MCAST_JOIN_GROUP, MCAST_MSFILTER). */
#include "zdtm.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

static struct group_req request(int family, const char *group)
{
	struct group_req request = { .gr_interface = if_nametoindex("lo") };

	request.gr_group.ss_family = family;
	check(inet_pton(family, group, family == AF_INET ? (void *)&((struct sockaddr_in *)&request.gr_group)->sin_addr :
							   (void *)&((struct sockaddr_in6 *)&request.gr_group)->sin6_addr) == 1,
	      "address %s", group);
	return request;
}

/* Whether a packet that is sent to the group arrives within that time: it comes when the kernel gets to it. */
static bool arrives(int fd, struct group_req to, int milliseconds)
{
	struct pollfd arrival = { .fd = fd, .events = POLLIN };
	struct ip_mreqn lo = { .imr_ifindex = if_nametoindex("lo") };
	int sender = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in name;
	socklen_t len = sizeof(name);
	char byte;

	check(getsockname(fd, (void *)&name, &len) == 0, "getsockname");
	((struct sockaddr_in *)&to.gr_group)->sin_port = name.sin_port;
	check(setsockopt(sender, SOL_IP, IP_MULTICAST_IF, &lo, sizeof(lo)) == 0, "IP_MULTICAST_IF");
	check(sendto(sender, "x", 1, 0, (void *)&to.gr_group, len) == 1 && close(sender) == 0, "sendto");
	return poll(&arrival, 1, milliseconds) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) == 1;
}

static bool hears(int fd, struct group_req to)
{
	return arrives(fd, to, 10000);
}

static bool is_deaf(int fd, struct group_req to)
{
	return !arrives(fd, to, 200);
}

int main(int argc, char **argv)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	struct sockaddr_in6 any6 = { .sin6_family = AF_INET6 };
	struct group_source_req source = { .gsr_interface = if_nametoindex("lo") };
	struct group_req joined, joined6, other;
	int fd, fd6, picky, off = 0;

	test_init(argc, argv);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	picky = socket(AF_INET, SOCK_DGRAM, 0);
	fd6 = socket(AF_INET6, SOCK_DGRAM, 0);
	check(bind(fd, (void *)&any, sizeof(any)) == 0 && bind(fd6, (void *)&any6, sizeof(any6)) == 0, "bind");
	check(bind(picky, (void *)&any, sizeof(any)) == 0, "bind");
	for (int i = 0; i < 2; i++)
		check(setsockopt(i ? picky : fd, SOL_IP, IP_MULTICAST_ALL, &off, sizeof(off)) == 0, "IP_MULTICAST_ALL");
	joined = request(AF_INET, "239.1.2.3");
	other = request(AF_INET, "239.1.2.4");
	joined6 = request(AF_INET6, "ff15::1:2:3");
	check(setsockopt(fd, SOL_IP, MCAST_JOIN_GROUP, &joined, sizeof(joined)) == 0, "join");
	check(setsockopt(fd6, SOL_IPV6, MCAST_JOIN_GROUP, &joined6, sizeof(joined6)) == 0, "join");
	/* Another source than the one that sends. */
	source.gsr_group = joined.gr_group;
	source.gsr_source = request(AF_INET, "127.0.0.77").gr_group;
	check(setsockopt(picky, SOL_IP, MCAST_JOIN_SOURCE_GROUP, &source, sizeof(source)) == 0, "join");
	check(setsockopt(picky, SOL_IP, MCAST_JOIN_GROUP, &other, sizeof(other)) == 0, "join");
	check(hears(fd, joined) && is_deaf(fd, other) && is_deaf(picky, joined), "sane");

	test_daemon();
	test_waitsig();

	check(hears(fd, joined), "no longer a member");
	/* The loopback interface has no route to such groups: a member cannot join again, and can leave. */
	check(setsockopt(fd6, SOL_IPV6, MCAST_JOIN_GROUP, &joined6, sizeof(joined6)) < 0 && errno == EADDRINUSE, "join again");
	check(setsockopt(fd6, SOL_IPV6, MCAST_LEAVE_GROUP, &joined6, sizeof(joined6)) == 0, "no longer a member");
	check(is_deaf(fd, other), "a member of a group that it has not joined");
	check(is_deaf(picky, joined), "hears a source that it does not want");
	check(hears(picky, other), "no longer a member of the other group");
	return pass();
}
