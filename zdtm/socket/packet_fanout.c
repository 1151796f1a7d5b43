/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A fanout group of packet sockets (PACKET_FANOUT, packet(7)): each packet goes to one of its members, in turn. */
#include "zdtm.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#define MEMBERS 2

int main(int argc, char **argv)
{
	struct sockaddr_ll name = { .sll_family = AF_PACKET, .sll_halen = 6 };
	int fds[MEMBERS], sender, group, now = 0;
	socklen_t len = sizeof(now);
	char byte;

	test_init(argc, argv);
	/* A number and a protocol that no other program has. */
	group = (getpid() & 0xffff) | (PACKET_FANOUT_LB | PACKET_FANOUT_FLAG_ROLLOVER) << 16;
	name.sll_protocol = htons(0xa000 | (getpid() & 0xfff));
	name.sll_ifindex = if_nametoindex("lo");
	for (int i = 0; i < MEMBERS; i++) {
		fds[i] = socket(AF_PACKET, SOCK_DGRAM, 0);
		check(fds[i] >= 0 && bind(fds[i], (void *)&name, sizeof(name)) == 0, "bind");
		check(setsockopt(fds[i], SOL_PACKET, PACKET_FANOUT, &group, sizeof(group)) == 0, "PACKET_FANOUT");
	}
	sender = socket(AF_PACKET, SOCK_DGRAM, 0);
	check(sender >= 0, "socket");

	test_daemon();
	test_waitsig();

	for (int i = 0; i < MEMBERS; i++) {
		check(getsockopt(fds[i], SOL_PACKET, PACKET_FANOUT, &now, &len) == 0 && now == group, "group %#x", now);
		check(sendto(sender, "x", 1, 0, (void *)&name, sizeof(name)) == 1, "sendto");
	}
	for (int i = 0; i < MEMBERS; i++) {
		check(recv(fds[i], &byte, 1, 0) == 1, "member %d hears nothing", i);
		check(recv(fds[i], &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN, "member %d hears both", i);
	}
	return pass();
}
