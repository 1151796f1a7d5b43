/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* UDP sockets keep names and peers: a connected one takes nothing from others (udp(7)). */
#include "zdtm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

struct pair {
	int server, client, stranger;
	struct sockaddr_storage name;
};

static struct pair pair_of(int family)
{
	struct pair pair = { .name.ss_family = family };
	socklen_t len = sizeof(pair.name);

	if (family == AF_INET)
		((struct sockaddr_in *)&pair.name)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&pair.name)->sin6_addr = in6addr_loopback;
	pair.server = socket(family, SOCK_DGRAM, 0);
	pair.client = socket(family, SOCK_DGRAM, 0);
	pair.stranger = socket(family, SOCK_DGRAM, 0);
	check(pair.server >= 0 && pair.client >= 0 && pair.stranger >= 0, "socket %d", family);
	check(bind(pair.server, (void *)&pair.name, len) == 0, "bind");
	check(getsockname(pair.server, (void *)&pair.name, &len) == 0, "getsockname");
	check(connect(pair.client, (void *)&pair.name, len) == 0, "connect");
	return pair;
}

static void talk(struct pair *pair)
{
	struct sockaddr_storage from, name;
	socklen_t len = sizeof(from);
	char text[8] = "";

	check(send(pair->client, "ask", 4, 0) == 4, "send");
	check(recvfrom(pair->server, text, sizeof(text), 0, (void *)&from, &len) == 4 && !strcmp(text, "ask"), "recvfrom");
	check(getsockname(pair->client, (void *)&name, &(socklen_t){ sizeof(name) }) == 0, "getsockname");
	check(!memcmp(&from, &name, len), "the question is from somebody else");
	/* What others send to a connected socket is not for it. */
	check(sendto(pair->stranger, "no", 3, 0, (void *)&from, len) == 3, "sendto");
	check(sendto(pair->server, "answer", 7, 0, (void *)&from, len) == 7, "sendto");
	check(recv(pair->client, text, sizeof(text), 0) == 7 && !strcmp(text, "answer"), "got '%s'", text);
	check(recv(pair->client, text, sizeof(text), MSG_DONTWAIT) < 0, "more than an answer");
}

int main(int argc, char **argv)
{
	struct sockaddr_storage clients[2], now;
	struct pair pairs[2];
	socklen_t len = sizeof(now);

	test_init(argc, argv);
	pairs[0] = pair_of(AF_INET);
	pairs[1] = pair_of(AF_INET6);
	memset(clients, 0, sizeof(clients));
	for (int i = 0; i < 2; i++, len = sizeof(now))
		check(getsockname(pairs[i].client, (void *)&clients[i], &len) == 0, "getsockname");

	test_daemon();
	test_waitsig();

	for (int i = 0; i < 2; i++) {
		memset(&now, 0, len = sizeof(now));
		check(getsockname(pairs[i].client, (void *)&now, &len) == 0, "getsockname");
		check(!memcmp(&now, &clients[i], sizeof(now)), "client %d has another name", i);
		talk(&pairs[i]);
	}
	return pass();
}
