/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Halves of datagram pairs that have left their peers (connect(2) to AF_UNSPEC), and what they were sent since then. */
#include "zdtm.h"

#include <sys/socket.h>

int main(int argc, char **argv)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	int pair[2], alone[2];
	char got[10];

	test_init(argc, argv);
	check(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, alone) == 0, "socketpair");
	check(connect(pair[0], &nobody, sizeof(nobody)) == 0, "connect");
	check(connect(alone[0], &nobody, sizeof(nobody)) == 0, "connect");
	check(send(pair[1], "since", 5, 0) == 5 && send(alone[1], "last", 4, 0) == 4 && close(alone[1]) == 0, "send");

	test_daemon();
	test_waitsig();

	check(getpeername(pair[0], (void *)&name, &len) == -1 && errno == ENOTCONN, "it has a peer again");
	check(recv(pair[0], got, sizeof(got), MSG_DONTWAIT) == 5 && !memcmp(got, "since", 5), "the message is lost");
	check(send(pair[0], "x", 1, 0) == -1 && errno == ENOTCONN, "it can send");
	check(send(pair[1], "more", 4, 0) == 4 && recv(pair[0], got, sizeof(got), 0) == 4, "the other has left, too");
	check(recv(alone[0], got, sizeof(got), MSG_DONTWAIT) == 4 && !memcmp(got, "last", 4), "the last message is lost");
	check(send(alone[0], "x", 1, 0) == -1 && errno == ENOTCONN, "it had a peer");
	return pass();
}
