/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Rings out of which packets are sent (PACKET_TX_RING, packet(7)), of each version, beside one for receiving: a frame that
 * waits is sent by the next send(2), and the kernel goes on with the frame behind it. */
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
	int fd, version, receiver, next;
};

static void open_ring(struct ring *ring, int version)
{
	struct tpacket_req3 req = { .tp_block_size = page_size(), .tp_block_nr = 2, .tp_frame_nr = FRAMES };
	socklen_t len = version == TPACKET_V3 ? sizeof(req) : sizeof(struct tpacket_req);
	bool both = version == TPACKET_V2;
	struct timeval second = { 5, 0 };

	req.tp_frame_size = ring->frame = 2 * page_size() / FRAMES;
	ring->version = version;
	ring->fd = socket(AF_PACKET, SOCK_DGRAM, 0);
	ring->receiver = socket(AF_PACKET, SOCK_DGRAM, 0);
	check(setsockopt(ring->receiver, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second)) == 0, "SO_RCVTIMEO");
	check(bind(ring->receiver, (void *)&name, sizeof(name)) == 0, "bind");
	check(setsockopt(ring->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) == 0, "PACKET_VERSION");
	if (both)
		check(setsockopt(ring->fd, SOL_PACKET, PACKET_RX_RING, &req, len) == 0, "PACKET_RX_RING");
	check(setsockopt(ring->fd, SOL_PACKET, PACKET_TX_RING, &req, len) == 0, "PACKET_TX_RING");
	ring->map = mmap(NULL, (both + 1) * 2 * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
	check(ring->map != MAP_FAILED, "mmap");
	/* It comes behind the other. */
	ring->map += both * 2 * page_size();
}

static void puts_frame(struct ring *ring, char byte)
{
	char *frame = ring->map + ring->next * ring->frame;
	struct tpacket_hdr *first = (void *)frame;
	struct tpacket2_hdr *second = (void *)frame;
	struct tpacket3_hdr *third = (void *)frame;
	size_t sizes[] = { sizeof(*first), sizeof(*second), sizeof(*third) };

	frame[TPACKET_ALIGN(sizes[ring->version])] = byte;
	*(ring->version == TPACKET_V1 ? &first->tp_len : ring->version == TPACKET_V2 ? &second->tp_len : &third->tp_len) = 1;
	__sync_synchronize();
	if (ring->version == TPACKET_V1)
		first->tp_status = TP_STATUS_SEND_REQUEST;
	else
		*(ring->version == TPACKET_V2 ? &second->tp_status : &third->tp_status) = TP_STATUS_SEND_REQUEST;
	ring->next = (ring->next + 1) % FRAMES;
}

static void sends(struct ring *ring, char byte)
{
	char got;

	/* Linux 7.2 lets one that waits for its frame sleep for ever on the loopback device. */
	check(sendto(ring->fd, NULL, 0, MSG_DONTWAIT, (void *)&name, sizeof(name)) >= 0, "sendto");
	check(recv(ring->receiver, &got, 1, 0) == 1, "frame %d of version %d is not sent", ring->next, ring->version);
	check(got == byte, "frame %d of version %d has '%c', not '%c'", ring->next, ring->version, got, byte);
}

int main(int argc, char **argv)
{
	struct ring rings[TPACKET_V3 + 1] = { { 0 } };

	test_init(argc, argv);
	name.sll_ifindex = if_nametoindex("lo");
	for (int version = TPACKET_V1; version <= TPACKET_V3; version++) {
		/* A protocol that nobody else speaks. */
		name.sll_protocol = htons((0xa000 + 0x1000 * version) | (getpid() & 0xfff));
		open_ring(&rings[version], version);
		for (char byte = 'a'; byte <= 'e'; byte++) {
			puts_frame(&rings[version], byte);
			sends(&rings[version], byte);
		}
	}
	puts_frame(&rings[TPACKET_V2], 'f');

	test_daemon();
	test_waitsig();

	for (int version = TPACKET_V1; version <= TPACKET_V3; version++) {
		name.sll_protocol = htons((0xa000 + 0x1000 * version) | (getpid() & 0xfff));
		if (version != TPACKET_V2)
			puts_frame(&rings[version], 'f');
		sends(&rings[version], 'f');
		for (char byte = 'g'; byte <= 'k'; byte++) {
			puts_frame(&rings[version], byte);
			sends(&rings[version], byte);
		}
	}
	return pass();
}
