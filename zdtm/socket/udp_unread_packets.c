/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Unread UDP packets with their bounds, their senders, and the address that they came to (udp(7), IP_PKTINFO). */
#include "zdtm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static char large[50000];

static int bound(int family, const char *address, struct sockaddr_storage *name)
{
	socklen_t len = sizeof(*name);
	int fd = socket(family, SOCK_DGRAM, 0);

	memset(name, 0, sizeof(*name));
	name->ss_family = family;
	check(inet_pton(family, address, family == AF_INET ? (void *)&((struct sockaddr_in *)name)->sin_addr :
							     (void *)&((struct sockaddr_in6 *)name)->sin6_addr) == 1,
	      "address");
	check(fd >= 0 && bind(fd, (void *)name, len) == 0 && getsockname(fd, (void *)name, &len) == 0, "bind");
	return fd;
}

static void send_all(int from, struct sockaddr_storage to, const char *address)
{
	check(inet_pton(to.ss_family, address,
			to.ss_family == AF_INET ? (void *)&((struct sockaddr_in *)&to)->sin_addr :
						  (void *)&((struct sockaddr_in6 *)&to)->sin6_addr) == 1,
	      "address");
	check(sendto(from, "first", 5, 0, (void *)&to, sizeof(to)) == 5, "sendto");
	check(sendto(from, "", 0, 0, (void *)&to, sizeof(to)) == 0, "sendto");
	check(sendto(from, large, sizeof(large), 0, (void *)&to, sizeof(to)) == sizeof(large), "sendto");
}

static void receive_all(int fd, struct sockaddr_storage *sender)
{
	static char got[sizeof(large)];
	struct sockaddr_storage from;
	const ssize_t sizes[] = { 5, 0, sizeof(large) };

	for (int i = 0; i < 3; i++) {
		socklen_t len = sizeof(from);

		memset(&from, 0, sizeof(from));
		check(recvfrom(fd, got, sizeof(got), MSG_DONTWAIT, (void *)&from, &len) == sizes[i], "packet %d", i);
		check(!memcmp(&from, sender, len), "packet %d is from somebody else", i);
		check(i != 0 || !memcmp(got, "first", 5), "the first is '%.5s'", got);
	}
	check(pattern_holds(got, sizeof(got), 3), "the large packet");
	check(recv(fd, got, sizeof(got), MSG_DONTWAIT) < 0 && errno == EAGAIN, "more packets than were sent");
}

/* The address in IP_PKTINFO of the next packet, which stays. */
static struct in_addr came_to(int fd)
{
	char control[256];
	struct msghdr msg = { .msg_control = control, .msg_controllen = sizeof(control) };
	int on = 1;

	check(setsockopt(fd, SOL_IP, IP_PKTINFO, &on, sizeof(on)) == 0, "IP_PKTINFO");
	check(recvmsg(fd, &msg, MSG_PEEK | MSG_DONTWAIT) == 0, "recvmsg");
	return ((struct in_pktinfo *)CMSG_DATA(CMSG_FIRSTHDR(&msg)))->ipi_addr;
}

int main(int argc, char **argv)
{
	struct sockaddr_storage one, other, any, sender, sender6;
	int first, second, third, from, from6, off = -1;
	socklen_t len = sizeof(off);

	test_init(argc, argv);
	pattern_fill(large, sizeof(large), 3);
	first = bound(AF_INET, "127.0.0.1", &one);
	second = bound(AF_INET6, "::1", &other);
	third = bound(AF_INET, "0.0.0.0", &any);
	from = bound(AF_INET, "127.0.0.1", &sender);
	from6 = bound(AF_INET6, "::1", &sender6);
	send_all(from, one, "127.0.0.1");
	send_all(from6, other, "::1");
	send_all(from, any, "127.0.0.5");
	check(close(from6) == 0, "close");

	test_daemon();
	test_waitsig();

	check(came_to(third).s_addr == inet_addr("127.0.0.5"), "the packets came to another address");
	check(getsockopt(first, SOL_IP, IP_PKTINFO, &off, &len) == 0 && off == 0, "IP_PKTINFO is on");
	check(getsockopt(first, SOL_SOCKET, SO_PEEK_OFF, &off, &len) == 0 && off == -1, "SO_PEEK_OFF is %d", off);
	receive_all(first, &sender);
	receive_all(second, &sender6);
	receive_all(third, &sender);
	return pass();
}
