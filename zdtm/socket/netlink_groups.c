/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Netlink sockets (netlink(7)): one that listens to groups, one that has a conversation with the kernel, one that is
 * connected to another of the same program. Port numbers stay. */
#include "zdtm.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

static int open_netlink(int kind, int protocol, uint32_t groups, uint32_t *port)
{
	struct sockaddr_nl name = { .nl_family = AF_NETLINK, .nl_groups = groups };
	socklen_t len = sizeof(name);
	int fd = socket(AF_NETLINK, kind, protocol);

	check(fd >= 0 && bind(fd, (void *)&name, len) == 0 && getsockname(fd, (void *)&name, &len) == 0, "netlink");
	*port = name.nl_pid;
	return fd;
}

static void has_name(int fd, uint32_t port, uint32_t groups)
{
	struct sockaddr_nl name;
	socklen_t len = sizeof(name);

	check(getsockname(fd, (void *)&name, &len) == 0 && name.nl_pid == port && name.nl_groups == groups,
	      "port %u, groups %#x", name.nl_pid, name.nl_groups);
}

/* Asks for the loopback interface; the answer is addressed to the port. */
static void asks(int fd, uint32_t port)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} ask = { .header = { .nlmsg_len = sizeof(ask), .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST } };
	char answer[16384];
	struct nlmsghdr *header = (void *)answer;

	ask.info.ifi_index = 1;
	check(send(fd, &ask, sizeof(ask), 0) == sizeof(ask) && recv(fd, answer, sizeof(answer), 0) > 0, "ask");
	check(header->nlmsg_type == RTM_NEWLINK && header->nlmsg_pid == port, "type %u to port %u", header->nlmsg_type,
	      header->nlmsg_pid);
}

int main(int argc, char **argv)
{
	uint32_t ports[4], bits[4] = { 0 };
	int listener, asker, ends[2], late = RTNLGRP_BRVLAN, on = 1, is_on = 0, kind = 0;
	socklen_t len = sizeof(on), room = sizeof(bits);
	struct sockaddr_nl peer = { .nl_family = AF_NETLINK };
	char byte;

	test_init(argc, argv);
	listener = open_netlink(SOCK_DGRAM, NETLINK_ROUTE, RTMGRP_LINK | RTMGRP_IPV4_IFADDR, &ports[0]);
	asker = open_netlink(SOCK_RAW, NETLINK_ROUTE, 0, &ports[1]);
	check(setsockopt(listener, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &late, sizeof(late)) == 0, "join");
	check(setsockopt(asker, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)) == 0, "NETLINK_EXT_ACK");
	asks(asker, ports[1]);
	for (int i = 0; i < 2; i++)
		ends[i] = open_netlink(SOCK_RAW, NETLINK_USERSOCK, 0, &ports[2 + i]);
	peer.nl_pid = ports[3];
	check(connect(ends[0], (void *)&peer, sizeof(peer)) == 0, "connect");

	test_daemon();
	test_waitsig();

	has_name(listener, ports[0], RTMGRP_LINK | RTMGRP_IPV4_IFADDR);
	check(getsockopt(listener, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, bits, &room) == 0, "memberships");
	check(bits[(late - 1) / 32] & 1u << (late - 1) % 32, "group %d is lost: %#x %#x", late, bits[0], bits[1]);
	check(getsockopt(listener, SOL_SOCKET, SO_TYPE, &kind, &len) == 0 && kind == SOCK_DGRAM, "the type is %d", kind);
	check(getsockopt(asker, SOL_NETLINK, NETLINK_EXT_ACK, &is_on, &len) == 0 && is_on, "NETLINK_EXT_ACK is off");
	asks(asker, ports[1]);
	check(send(ends[0], "x", 1, 0) == 1 && recv(ends[1], &byte, 1, 0) == 1 && byte == 'x', "the peer hears nothing");
	has_name(ends[1], ports[3], 0);
	return pass();
}
