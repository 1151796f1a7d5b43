/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Raw sockets: protocol, filter of ICMP, and who writes the header (raw(7), icmp(7)). */
#include "zdtm.h"

#include <arpa/inet.h>
#include <linux/icmp.h>
#include <netinet/in.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct icmp_filter only = { ~((uint32_t)1 << ICMP_ECHOREPLY) }, now;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct icmphdr echo = { .type = ICMP_ECHO, .un.echo.id = 0x1234 };
	struct timeval second = { 5, 0 };
	unsigned char answer[100];
	socklen_t len = sizeof(now);
	int fd, writes, hdrincl = 1;
	uint32_t sum;

	test_init(argc, argv);
	fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	writes = socket(AF_INET, SOCK_RAW, 253);
	check(fd >= 0 && writes >= 0, "socket");
	check(setsockopt(fd, SOL_RAW, ICMP_FILTER, &only, sizeof(only)) == 0, "ICMP_FILTER");
	check(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second)) == 0, "SO_RCVTIMEO");
	check(setsockopt(writes, SOL_IP, IP_HDRINCL, &hdrincl, sizeof(hdrincl)) == 0, "IP_HDRINCL");
	check(bind(writes, (void *)&to, sizeof(to)) == 0, "bind");

	test_daemon();
	test_waitsig();

	check(getsockopt(fd, SOL_RAW, ICMP_FILTER, &now, &len) == 0 && now.data == only.data, "the filter is %x", now.data);
	hdrincl = 0;
	len = sizeof(hdrincl);
	check(getsockopt(writes, SOL_IP, IP_HDRINCL, &hdrincl, &len) == 0 && hdrincl, "IP_HDRINCL is off");
	check(getsockopt(writes, SOL_SOCKET, SO_PROTOCOL, &hdrincl, &len) == 0 && hdrincl == 253, "protocol %d", hdrincl);
	/* RFC 1071 over 16-bit words in memory order. */
	sum = ICMP_ECHO * (htons(0x0100) == 1 ? 1 : 256) + echo.un.echo.id;
	echo.checksum = ~((sum & 0xffff) + (sum >> 16));
	check(sendto(fd, &echo, sizeof(echo), 0, (void *)&to, sizeof(to)) == sizeof(echo), "sendto");
	/* Without the filter the request itself would come first. */
	check(recv(fd, answer, sizeof(answer), 0) == 20 + sizeof(echo), "no answer");
	check(answer[20] == ICMP_ECHOREPLY, "type %d", answer[20]);
	return pass();
}
