/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Packet sockets (packet(7)): protocol, interface, header, filter, memberships and options. */
#include "zdtm.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

/* One that no other program speaks, in network order. */
static uint16_t protocol(void)
{
	return htons(0xa000 | (getpid() & 0xfff));
}

static struct sockaddr_ll loopback(void)
{
	struct sockaddr_ll name = { .sll_family = AF_PACKET, .sll_protocol = protocol() };

	name.sll_ifindex = if_nametoindex("lo");
	name.sll_halen = 6;
	return name;
}

static int option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	check(getsockopt(fd, SOL_PACKET, name, &value, &len) == 0, "getsockopt %d", name);
	return value;
}

static void set(int fd, int name, int value)
{
	check(setsockopt(fd, SOL_PACKET, name, &value, sizeof(value)) == 0, "setsockopt %d", name);
}

/* The loopback device gives a packet twice: as it leaves, unless PACKET_IGNORE_OUTGOING, and as it comes. */
static void hears(int fd, char expected)
{
	struct sockaddr_ll from;
	socklen_t len = sizeof(from);
	char bytes[100];

	check(recvfrom(fd, bytes, sizeof(bytes), 0, (void *)&from, &len) == 2, "nothing is heard");
	check(bytes[0] == expected && from.sll_protocol == protocol(), "'%c' of %#x", bytes[0], ntohs(from.sll_protocol));
	check(from.sll_pkttype != PACKET_OUTGOING, "what it sends itself is heard");
}

int main(int argc, char **argv)
{
	/* Packets that begin with 'n' are not heard; a cooked socket sees no header. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'n', 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0), BPF_STMT(BPF_RET | BPF_K, -1),
	};
	struct sock_fprog filter = { .len = 4, .filter = code };
	struct sockaddr_ll name, now = { 0 };
	struct packet_mreq all = { .mr_type = PACKET_MR_ALLMULTI };
	socklen_t len = sizeof(now);
	int fd, silent;

	test_init(argc, argv);
	name = loopback();
	all.mr_ifindex = name.sll_ifindex;
	fd = socket(AF_PACKET, SOCK_DGRAM, 0);
	silent = socket(AF_PACKET, SOCK_RAW, 0);
	check(fd >= 0 && silent >= 0, "socket");
	check(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) == 0, "filter");
	check(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) == 0, "join");
	check(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) == 0, "join again");
	set(fd, PACKET_IGNORE_OUTGOING, 1);
	set(silent, PACKET_VERSION, TPACKET_V2);
	set(silent, PACKET_RESERVE, 32);
	set(silent, PACKET_AUXDATA, 1);
	check(bind(fd, (void *)&name, sizeof(name)) == 0, "bind");

	test_daemon();
	test_waitsig();

	check(getsockname(fd, (void *)&now, &len) == 0, "getsockname");
	check(now.sll_ifindex == name.sll_ifindex && now.sll_protocol == name.sll_protocol, "interface %d, protocol %#x",
	      now.sll_ifindex, ntohs(now.sll_protocol));
	check(option(silent, PACKET_VERSION) == TPACKET_V2, "version %d", option(silent, PACKET_VERSION));
	check(option(silent, PACKET_RESERVE) == 32, "reserve %d", option(silent, PACKET_RESERVE));
	check(option(silent, PACKET_AUXDATA) == 1 && option(fd, PACKET_AUXDATA) == 0, "PACKET_AUXDATA");
	check(sendto(fd, "no", 2, 0, (void *)&name, sizeof(name)) == 2, "sendto");
	check(sendto(fd, "ok", 2, 0, (void *)&name, sizeof(name)) == 2, "sendto");
	hears(fd, 'o');
	check(recv(silent, &now, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN, "without a protocol something is heard");
	for (int i = 0; i < 2; i++)
		check(setsockopt(fd, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &all, sizeof(all)) == 0, "membership %d is lost", i);
	return pass();
}
