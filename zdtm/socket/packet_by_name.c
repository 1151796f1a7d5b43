/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Sockets of type SOCK_PACKET (packet(7)), which are bound by the name of an interface and hear since they are made. */
#include "zdtm.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

/* One that no other program speaks, in network order. */
static uint16_t protocol(void)
{
	return htons(0xb000 | (getpid() & 0xfff));
}

static void send_by_loopback(const char *text)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = protocol(), .sll_halen = ETH_ALEN };
	int fd = socket(AF_PACKET, SOCK_DGRAM, 0);

	to.sll_ifindex = if_nametoindex("lo");
	check(fd >= 0 && sendto(fd, text, strlen(text), 0, (void *)&to, sizeof(to)) == (ssize_t)strlen(text), "sendto");
	close(fd);
}

/* Whatever is heard first, after its header. */
static void hears(int fd, const char *expected)
{
	struct sockaddr_pkt from;
	socklen_t len = sizeof(from);
	char bytes[200] = { 0 };

	check(recvfrom(fd, bytes, sizeof(bytes) - 1, 0, (void *)&from, &len) > ETH_HLEN, "nothing is heard");
	check(!strcmp(bytes + ETH_HLEN, expected), "'%s' is heard", bytes + ETH_HLEN);
	check(from.spkt_protocol == protocol() && !strcmp((char *)from.spkt_device, "lo"), "from %s, protocol %#x",
	      from.spkt_device, ntohs(from.spkt_protocol));
}

static bool is_silent(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN;
}

int main(int argc, char **argv)
{
	/* Packets that begin with 'n' are not heard. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ETH_HLEN), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'n', 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0), BPF_STMT(BPF_RET | BPF_K, -1),
	};
	struct sock_fprog filter = { .len = 4, .filter = code };
	struct sockaddr name = { .sa_family = AF_PACKET, .sa_data = "lo" }, now = { 0 };
	socklen_t len = sizeof(now);
	int bound, everywhere, deaf, type = 0;

	test_init(argc, argv);
	bound = socket(AF_PACKET, SOCK_PACKET, protocol());
	everywhere = socket(AF_PACKET, SOCK_PACKET, protocol());
	deaf = socket(AF_PACKET, SOCK_PACKET, 0);
	check(bound >= 0 && everywhere >= 0 && deaf >= 0, "socket");
	check(setsockopt(bound, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) == 0, "filter");
	check(bind(bound, &name, sizeof(name)) == 0 && bind(deaf, &name, sizeof(name)) == 0, "bind");

	test_daemon();
	test_waitsig();

	check(is_silent(bound) && is_silent(everywhere) && is_silent(deaf), "something is heard that nobody has sent");
	check(getsockname(bound, &now, &len) == 0 && !strcmp(now.sa_data, "lo"), "bound to %s", now.sa_data);
	len = sizeof(now);
	check(getsockname(everywhere, &now, &len) == 0 && !now.sa_data[0], "bound to %s", now.sa_data);
	len = sizeof(type);
	check(getsockopt(bound, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_PACKET, "type %d", type);
	send_by_loopback("no");
	send_by_loopback("yes");
	hears(bound, "yes");
	hears(everywhere, "no");
	check(is_silent(deaf), "without a protocol something is heard");
	return pass();
}
