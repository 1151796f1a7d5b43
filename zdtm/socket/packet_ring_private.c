/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A ring that is mapped MAP_PRIVATE (packet(7)): what was written to is a page of the program, all else shows the ring. */
#include "zdtm.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#define FRAMES 8

static struct sockaddr_ll name = { .sll_family = AF_PACKET, .sll_halen = 6 };
static size_t frame;
static char *map;
static int sender;

static void gives(char byte)
{
	check(sendto(sender, &byte, 1, 0, (void *)&name, sizeof(name)) == 1, "sendto");
}

static void shows(int number, char byte)
{
	volatile struct tpacket2_hdr *header = (void *)(map + number * frame);

	for (int i = 0; !(header->tp_status & TP_STATUS_USER); i++) {
		check(i < 5000, "frame %d never comes", number);
		usleep(1000);
	}
	__sync_synchronize();
	check(*((volatile char *)header + header->tp_mac) == byte, "frame %d has no '%c'", number, byte);
}

int main(int argc, char **argv)
{
	struct tpacket_req req = { .tp_block_size = page_size(), .tp_block_nr = 2, .tp_frame_nr = FRAMES };
	int fd, version = TPACKET_V2;

	test_init(argc, argv);
	name.sll_ifindex = if_nametoindex("lo");
	/* A protocol that nobody else speaks. */
	name.sll_protocol = htons(0xc000 | (getpid() & 0xfff));
	req.tp_frame_size = frame = 2 * page_size() / FRAMES;
	fd = socket(AF_PACKET, SOCK_DGRAM, 0);
	sender = socket(AF_PACKET, SOCK_DGRAM, 0);
	check(setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) == 0, "PACKET_VERSION");
	check(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) == 0, "PACKET_RX_RING");
	map = mmap(NULL, 2 * page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	check(map != MAP_FAILED && bind(fd, (void *)&name, sizeof(name)) == 0, "mmap or bind");
	gives('a');
	shows(0, 'a');
	pattern_fill(map + page_size(), page_size(), 1);

	test_daemon();
	test_waitsig();

	shows(0, 'a');
	gives('b');
	shows(1, 'b');
	check(pattern_holds(map + page_size(), page_size(), 1), "the private page has changed");
	return pass();
}
