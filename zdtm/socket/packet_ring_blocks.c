/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A ring of blocks into which packets come (PACKET_RX_RING of TPACKET_V3): blocks that were not read stay, and the next packet
 * comes to the block behind them. */
#include "zdtm.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define BLOCKS 4

static struct sockaddr_ll name = { .sll_family = AF_PACKET, .sll_halen = 6 };
static char *ring;
static int sender, last, next;

static volatile struct tpacket_hdr_v1 *block(int number)
{
	return &((struct tpacket_block_desc *)(ring + number * page_size()))->hdr.bh1;
}

static void await(int number)
{
	for (int i = 0; !(block(number)->block_status & TP_STATUS_USER); i++) {
		check(i < 5000, "block %d never comes", number);
		usleep(1000);
	}
	__sync_synchronize();
}

/* Sends a packet, and waits until the block that it is in is closed, because its time is over. */
static void gives(char byte)
{
	check(sendto(sender, &byte, 1, 0, (void *)&name, sizeof(name)) == 1, "sendto");
	await(last);
	last = (last + 1) % BLOCKS;
}

/* Gives the next block back. */
static void gets(char byte)
{
	struct tpacket3_hdr *packet;

	await(next);
	check(block(next)->num_pkts == 1, "block %d has %u packets", next, block(next)->num_pkts);
	packet = (void *)((char *)ring + next * page_size() + block(next)->offset_to_first_pkt);
	check(((char *)packet)[packet->tp_mac] == byte, "block %d has '%c'", next, ((char *)packet)[packet->tp_mac]);
	block(next)->block_status = TP_STATUS_KERNEL;
	next = (next + 1) % BLOCKS;
}

int main(int argc, char **argv)
{
	struct tpacket_req3 req = { .tp_block_nr = BLOCKS, .tp_retire_blk_tov = 10 };
	int fd, version = TPACKET_V3;

	test_init(argc, argv);
	name.sll_ifindex = if_nametoindex("lo");
	/* A protocol that nobody else speaks. */
	name.sll_protocol = htons(0xa000 | (getpid() & 0xfff));
	req.tp_block_size = req.tp_frame_size = page_size();
	req.tp_frame_nr = BLOCKS;
	fd = socket(AF_PACKET, SOCK_DGRAM, 0);
	sender = socket(AF_PACKET, SOCK_DGRAM, 0);
	check(setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) == 0, "PACKET_VERSION");
	check(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) == 0, "PACKET_RX_RING");
	ring = mmap(NULL, BLOCKS * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(ring != MAP_FAILED && bind(fd, (void *)&name, sizeof(name)) == 0, "mmap or bind");
	for (char byte = 'a'; byte <= 'e'; byte++) {
		gives(byte);
		gets(byte);
	}
	gives('f');
	gives('g');

	test_daemon();
	test_waitsig();

	gets('f');
	gives('h');
	gets('g');
	gets('h');
	for (char byte = 'i'; byte <= 'p'; byte++) {
		gives(byte);
		gets(byte);
	}
	return pass();
}
