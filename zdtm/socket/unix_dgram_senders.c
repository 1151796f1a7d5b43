/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Unread datagrams keep the addresses of their senders, of a closed one, too (unix(7), recvfrom(2)). */
#include "zdtm.h"

#include <sys/socket.h>
#include <sys/un.h>

static struct sockaddr_un named(const char *suffix, socklen_t *len)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int used = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "zdtm-senders-%d-%s", (int)getsid(0), suffix);

	*len = offsetof(struct sockaddr_un, sun_path) + 1 + used;
	return address;
}

int main(int argc, char **argv)
{
	struct sockaddr_un one, gone, receiver, from;
	socklen_t one_len, gone_len, receiver_len, from_len = sizeof(from);
	int sender, closed, unnamed, fd;
	char got[10];

	test_init(argc, argv);
	one = named("one", &one_len);
	gone = named("gone", &gone_len);
	receiver = named("receiver", &receiver_len);
	sender = socket(AF_UNIX, SOCK_DGRAM, 0);
	closed = socket(AF_UNIX, SOCK_DGRAM, 0);
	unnamed = socket(AF_UNIX, SOCK_DGRAM, 0);
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	check(bind(fd, (void *)&receiver, receiver_len) == 0, "bind");
	check(bind(sender, (void *)&one, one_len) == 0 && bind(closed, (void *)&gone, gone_len) == 0, "bind");
	check(sendto(closed, "1", 1, 0, (void *)&receiver, receiver_len) == 1 && close(closed) == 0, "sendto");
	check(sendto(unnamed, "22", 2, 0, (void *)&receiver, receiver_len) == 2, "sendto");
	check(sendto(sender, "333", 3, 0, (void *)&receiver, receiver_len) == 3, "sendto");

	test_daemon();
	test_waitsig();

	check(recvfrom(fd, got, sizeof(got), MSG_DONTWAIT, (void *)&from, &from_len) == 1, "the first");
	check(from_len == gone_len && !memcmp(&from, &gone, from_len), "the first is of somebody else");
	from_len = sizeof(from);
	check(recvfrom(fd, got, sizeof(got), MSG_DONTWAIT, (void *)&from, &from_len) == 2, "the second");
	check(from_len <= sizeof(sa_family_t), "the second has a sender");
	from_len = sizeof(from);
	check(recvfrom(fd, got, sizeof(got), MSG_DONTWAIT, (void *)&from, &from_len) == 3, "the third");
	check(from_len == one_len && !memcmp(&from, &one, from_len), "the third is of somebody else");
	check(sendto(fd, "re", 2, 0, (void *)&from, from_len) == 2, "the sender does not answer to its name");
	check(recv(sender, got, sizeof(got), MSG_DONTWAIT) == 2, "the answer did not arrive");
	closed = socket(AF_UNIX, SOCK_DGRAM, 0);
	check(bind(closed, (void *)&gone, gone_len) == 0, "the name of the closed one is taken");
	return pass();
}
