/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Rings into which packets come (PACKET_RX_RING of TPACKET_V1 and TPACKET_V2), mapped: what was not read stays, and the
 * next packet comes to the frame behind it. */
#include "zdtm.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define FRAMES 8

static struct sockaddr_ll name = { .sll_family = AF_PACKET, .sll_halen = 6 };

struct ring {
	char *map;
	size_t frame;
	int version, sender, next;
};

static void open_ring(struct ring *ring, int version)
{
	struct tpacket_req req = { .tp_block_size = page_size(), .tp_block_nr = 2, .tp_frame_nr = FRAMES };
	int fd = socket(AF_PACKET, SOCK_DGRAM, 0);

	req.tp_frame_size = ring->frame = 2 * page_size() / FRAMES;
	ring->version = version;
	ring->sender = socket(AF_PACKET, SOCK_DGRAM, 0);
	check(setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) == 0, "PACKET_VERSION");
	check(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) == 0, "PACKET_RX_RING");
	ring->map = mmap(NULL, 2 * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(ring->map != MAP_FAILED && bind(fd, (void *)&name, sizeof(name)) == 0, "mmap or bind");
}

static void gives(struct ring *ring, char byte)
{
	check(sendto(ring->sender, &byte, 1, 0, (void *)&name, sizeof(name)) == 1, "sendto");
}

/* Waits for the next frame, and gives it back. */
static void gets(struct ring *ring, char byte)
{
	volatile char *frame = ring->map + ring->next * ring->frame;
	volatile struct tpacket_hdr *first = (void *)frame;
	volatile struct tpacket2_hdr *second = (void *)frame;
	bool is_first = ring->version == TPACKET_V1;

	for (int i = 0; !((is_first ? first->tp_status : second->tp_status) & TP_STATUS_USER); i++) {
		check(i < 5000, "frame %d of version %d never comes", ring->next, ring->version);
		usleep(1000);
	}
	__sync_synchronize();
	frame += is_first ? first->tp_mac : second->tp_mac;
	check(*frame == byte, "frame %d of version %d has '%c', not '%c'", ring->next, ring->version, *frame, byte);
	if (is_first)
		first->tp_status = TP_STATUS_KERNEL;
	else
		second->tp_status = TP_STATUS_KERNEL;
	ring->next = (ring->next + 1) % FRAMES;
}

int main(int argc, char **argv)
{
	struct ring rings[2] = { { 0 } };

	test_init(argc, argv);
	name.sll_ifindex = if_nametoindex("lo");
	for (int i = 0; i < 2; i++) {
		/* A protocol that nobody else speaks. */
		name.sll_protocol = htons((0xa000 + 0x1000 * i) | (getpid() & 0xfff));
		open_ring(&rings[i], i ? TPACKET_V2 : TPACKET_V1);
		for (char byte = 'a'; byte <= 'i'; byte++) {
			gives(&rings[i], byte);
			gets(&rings[i], byte);
		}
		/* The first ring has been read, the second one has something unread. */
		for (char byte = 'j'; i && byte <= 'k'; byte++)
			gives(&rings[i], byte);
	}

	test_daemon();
	test_waitsig();

	gets(&rings[1], 'j');
	gets(&rings[1], 'k');
	for (int i = 0; i < 2; i++) {
		name.sll_protocol = htons((0xa000 + 0x1000 * i) | (getpid() & 0xfff));
		gives(&rings[i], 'l');
		gets(&rings[i], 'l');
	}
	return pass();
}
