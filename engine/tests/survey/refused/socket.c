/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Sockets of other families, and unix sockets that have to do with somebody outside. */
#include "lib.h"

#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int ends[2];

static void pair(int type)
{
	need(socketpair(AF_UNIX, type, 0, ends) == 0);
}

static void packet_fanout(void)
{
	struct sockaddr_ll name = { .sll_family = AF_PACKET, .sll_protocol = htons(0x88b5), .sll_ifindex = 1 };
	int fd = socket(AF_PACKET, SOCK_RAW, 0), group = (getpid() & 0xffff) | PACKET_FANOUT_CBPF << 16;

	need(fd >= 0 && bind(fd, (void *)&name, sizeof(name)) == 0);
	need(setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &group, sizeof(group)) == 0);
}

/* Its interface ends with the descriptor that has made it. */
static void packet_without_interface(void)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	struct sockaddr_ll name = { .sll_family = AF_PACKET, .sll_protocol = htons(0x88b5) };
	int tap = open("/dev/net/tun", O_RDWR), fd = socket(AF_PACKET, SOCK_RAW, 0);

	need(tap >= 0 && ioctl(tap, TUNSETIFF, &request) == 0 && ioctl(fd, SIOCGIFINDEX, &request) == 0);
	name.sll_ifindex = request.ifr_ifindex;
	need(bind(fd, (void *)&name, sizeof(name)) == 0 && close(tap) == 0);
}

static int netlink(int protocol, struct sockaddr_nl *name)
{
	socklen_t len = sizeof(*name);
	int fd = socket(AF_NETLINK, SOCK_RAW, protocol);

	*name = (struct sockaddr_nl){ .nl_family = AF_NETLINK };
	need(bind(fd, (void *)name, len) == 0 && getsockname(fd, (void *)name, &len) == 0);
	return fd;
}

/* The kernel answers at once. */
static void netlink_answer(void)
{
	struct nlmsghdr nothing = { .nlmsg_len = sizeof(nothing), .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK };
	struct sockaddr_nl name;

	need(send(netlink(NETLINK_ROUTE, &name), &nothing, sizeof(nothing), 0) == sizeof(nothing));
}

/* To oneself. */
static void netlink_messages(void)
{
	struct sockaddr_nl name;
	int fd = netlink(NETLINK_USERSOCK, &name);

	for (int i = 0; i < 2; i++)
		need(sendto(fd, "x", 1, 0, (void *)&name, sizeof(name)) == 1);
}

/* A listening socket, with a connection of `client` that waits there. */
static int client;

static int connect_to_oneself(void)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(name);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	client = socket(AF_INET, SOCK_STREAM, 0);
	need(bind(listener, (void *)&name, len) == 0 && listen(listener, 5) == 0);
	need(getsockname(listener, (void *)&name, &len) == 0 && connect(client, (void *)&name, len) == 0);
	return listener;
}

static void tcp_connection(void)
{
	need(accept(connect_to_oneself(), NULL, NULL) >= 0);
}

static void tcp_pending(void)
{
	connect_to_oneself();
}

static void udp_corked(void)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;

	need(setsockopt(fd, IPPROTO_UDP, UDP_CORK, &on, sizeof(on)) == 0);
	need(sendto(fd, "x", 1, 0, (void *)&name, sizeof(name)) == 1);
}

static void keep_second_end(void)
{
	need(close(ends[0]) == 0);
}

static void peer_outside(void)
{
	pair(SOCK_STREAM);
	outside(keep_second_end);
	need(close(ends[1]) == 0);
}

/* A new socket that bind(2) or connect(2) leads to the path. */
static int at_path(int (*lead)(int, const struct sockaddr *, socklen_t))
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	need(fd >= 0 && lead(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

static void connect_to_path(void)
{
	at_path(connect);
}

static void pending_from_outside(void)
{
	need(listen(at_path(bind), 1) == 0);
	outside(connect_to_path);
}

static void deleted_in_use(void)
{
	at_path(bind);
	need(open(path, O_PATH) >= 0 && unlink(path) == 0);
}

static void linked_elsewhere(void)
{
	char folder[200], other[220];

	at_path(bind);
	snprintf(folder, sizeof(folder), "%s.elsewhere", path);
	snprintf(other, sizeof(other), "%s/other", folder);
	need(mkdir(folder, 0700) == 0 && link(path, other) == 0 && unlink(path) == 0);
}

static void urgent(void)
{
	pair(SOCK_STREAM);
	need(send(ends[0], "x", 1, MSG_OOB) == 1);
}

static void bpf_filter(void)
{
	/* return 1 */
	struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr program = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = 2,
		.insns = (unsigned long)code, .license = (unsigned long)"GPL",
	};
	int fd = syscall(SYS_bpf, BPF_PROG_LOAD, &program, sizeof(program));

	need(fd >= 0);
	pair(SOCK_DGRAM);
	need(setsockopt(ends[0], SOL_SOCKET, SO_ATTACH_BPF, &fd, sizeof(fd)) == 0 && close(fd) == 0);
}

const struct thing socket_things[] = {
	{ "packet fanout by program", packet_fanout, 0 },
	{ "packet socket without interface", packet_without_interface, 0 },
	{ "unread netlink answer", netlink_answer, 0 },
	{ "unread netlink messages", netlink_messages, 0 },
	{ "TCP connection", tcp_connection, 0 },
	{ "TCP connection that waits", tcp_pending, 0 },
	{ "half a datagram", udp_corked, 0 },
	{ "peer outside", peer_outside, 0 },
	{ "pending from outside", pending_from_outside, 0 },
	{ "deleted socket in use", deleted_in_use, 0 },
	{ "socket linked elsewhere", linked_elsewhere, 0 },
	{ "urgent data", urgent, 0 },
	{ "BPF filter", bpf_filter, 0 },
	{ NULL, NULL, 0 },
};
