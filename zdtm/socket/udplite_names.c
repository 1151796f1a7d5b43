/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* UDP-Lite sockets keep name, peer, and how much of a packet the checksum covers (udplite(7)). */
#include "zdtm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define UDPLITE_SEND_CSCOV 10

int main(int argc, char **argv)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) }, from, client;
	socklen_t len = sizeof(name);
	int fd, other, coverage = 12;
	char text[8] = "";

	test_init(argc, argv);
	fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
	other = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
	check(fd >= 0 && other >= 0 && bind(fd, (void *)&name, len) == 0, "bind");
	check(getsockname(fd, (void *)&name, &len) == 0 && connect(other, (void *)&name, len) == 0, "connect");
	check(getsockname(other, (void *)&client, &len) == 0, "getsockname");
	check(setsockopt(other, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, &coverage, sizeof(coverage)) == 0, "coverage");
	check(send(other, "first", 5, 0) == 5, "send");

	test_daemon();
	test_waitsig();

	check(recvfrom(fd, text, sizeof(text), MSG_DONTWAIT, (void *)&from, &len) == 5 && !strcmp(text, "first"), "unread");
	check(!memcmp(&from, &client, len), "the unread packet is from somebody else");
	coverage = 0;
	len = sizeof(coverage);
	check(getsockopt(other, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, &coverage, &len) == 0 && coverage == 12, "covers %d", coverage);
	check(send(other, "second", 7, 0) == 7 && recv(fd, text, sizeof(text), 0) == 7 && !strcmp(text, "second"), "send");
	return pass();
}
