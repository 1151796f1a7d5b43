/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Options of ip(7), ipv6(7) and udp(7) that are not as in a new socket, and the owner of a socket (fchown(2)). */
#include "zdtm.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/stat.h>

static const struct option {
	int level, name, value;
} options[] = {
	{ SOL_IP, IP_TOS, 0x10 },
	{ SOL_IP, IP_TTL, 77 },
	{ SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO },
	{ SOL_IP, IP_RECVERR, 1 },
	{ SOL_IP, IP_RECVTTL, 1 },
	{ SOL_IP, IP_FREEBIND, 1 },
	{ SOL_IP, IP_TRANSPARENT, 1 },
	{ SOL_IP, IP_MULTICAST_TTL, 5 },
	{ SOL_IP, IP_MULTICAST_LOOP, 0 },
	{ SOL_IP, IP_PKTINFO, 1 },
	{ SOL_UDP, UDP_SEGMENT, 1200 },
	{ SOL_SOCKET, SO_BROADCAST, 1 },
}, options6[] = {
	{ SOL_IPV6, IPV6_UNICAST_HOPS, 33 },
	{ SOL_IPV6, IPV6_MULTICAST_HOPS, 4 },
	{ SOL_IPV6, IPV6_TCLASS, 0x20 },
	{ SOL_IPV6, IPV6_RECVPKTINFO, 1 },
	{ SOL_IPV6, IPV6_RECVERR, 1 },
	{ SOL_IPV6, IPV6_DONTFRAG, 1 },
	{ SOL_IPV6, IPV6_V6ONLY, 1 },
	{ SOL_IP, IP_TTL, 55 },
};

static int value_of(int fd, const struct option *option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	check(getsockopt(fd, option->level, option->name, &value, &len) == 0, "getsockopt %d %d", option->level, option->name);
	return value;
}

static void set(int fd, const struct option *option)
{
	check(setsockopt(fd, option->level, option->name, &option->value, sizeof(int)) == 0, "setsockopt %d %d", option->level,
	      option->name);
	check(value_of(fd, option) == option->value, "option %d %d does not hold", option->level, option->name);
}

static void verify(int fd, int fresh, const struct option *option)
{
	check(value_of(fd, option) == option->value, "option %d %d is %d", option->level, option->name, value_of(fd, option));
	check(value_of(fresh, option) != option->value, "option %d %d is set where it was not", option->level, option->name);
}

int main(int argc, char **argv)
{
	int fd, fd6, fresh, fresh6;
	struct stat st;

	test_init(argc, argv);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	fresh = socket(AF_INET, SOCK_DGRAM, 0);
	fd6 = socket(AF_INET6, SOCK_DGRAM, 0);
	fresh6 = socket(AF_INET6, SOCK_DGRAM, 0);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		set(fd, &options[i]);
	for (size_t i = 0; i < ARRAY_SIZE(options6); i++)
		set(fd6, &options6[i]);
	check(fchown(fd, 123, 456) == 0, "fchown");

	test_daemon();
	test_waitsig();

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		verify(fd, fresh, &options[i]);
	for (size_t i = 0; i < ARRAY_SIZE(options6); i++)
		verify(fd6, fresh6, &options6[i]);
	check(fstat(fd, &st) == 0 && st.st_uid == 123 && st.st_gid == 456, "owner %u:%u", st.st_uid, st.st_gid);
	return pass();
}
