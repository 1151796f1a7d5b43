/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Sockets that share a port by SO_REUSEPORT, and one that shares it by SO_REUSEADDR (socket(7)). */
#include "zdtm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int bound(int option, struct sockaddr_in *name)
{
	socklen_t len = sizeof(*name);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;

	check(setsockopt(fd, SOL_SOCKET, option, &on, sizeof(on)) == 0, "setsockopt");
	check(bind(fd, (void *)name, len) == 0 && getsockname(fd, (void *)name, &len) == 0, "bind");
	return fd;
}

int main(int argc, char **argv)
{
	struct sockaddr_in shared = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) }, reused = shared;
	int group[4], pair[2], sender, got = 0;
	char byte;

	test_init(argc, argv);
	for (int i = 0; i < 4; i++)
		group[i] = bound(SO_REUSEPORT, &shared);
	for (int i = 0; i < 2; i++)
		pair[i] = bound(SO_REUSEADDR, &reused);

	test_daemon();
	test_waitsig();

	/* Each sender's packets go to one of the group: with many senders, to several. */
	for (int i = 0; i < 64; i++) {
		sender = socket(AF_INET, SOCK_DGRAM, 0);
		check(sendto(sender, "x", 1, 0, (void *)&shared, sizeof(shared)) == 1 && close(sender) == 0, "sendto");
	}
	for (int i = 0; i < 4; i++) {
		int before = got;

		while (recv(group[i], &byte, 1, MSG_DONTWAIT) == 1)
			got++;
		check(got - before < 64, "member %d got all", i);
	}
	check(got == 64, "%d of 64 packets", got);
	sender = socket(AF_INET, SOCK_DGRAM, 0);
	check(sendto(sender, "x", 1, 0, (void *)&reused, sizeof(reused)) == 1, "sendto");
	check(recv(pair[1], &byte, 1, MSG_DONTWAIT) == 1 || recv(pair[0], &byte, 1, MSG_DONTWAIT) == 1, "nobody got it");
	return pass();
}
