/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Connections shut down in one direction, with bytes that were sent before (shutdown(2)). */
#include "zdtm.h"

#include <sys/socket.h>

int main(int argc, char **argv)
{
	int write_end[2], read_end[2], both[2], lone;
	char got[10];

	test_init(argc, argv);
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, write_end) == 0, "socketpair");
	check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, read_end) == 0, "socketpair");
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, both) == 0, "socketpair");
	lone = socket(AF_UNIX, SOCK_DGRAM, 0);
	check(send(write_end[0], "last", 4, 0) == 4 && shutdown(write_end[0], SHUT_WR) == 0, "shutdown");
	check(shutdown(read_end[0], SHUT_RD) == 0 && shutdown(both[0], SHUT_RDWR) == 0, "shutdown");
	check(shutdown(lone, SHUT_RD) == 0, "shutdown");

	test_daemon();
	test_waitsig();

	check(send(write_end[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "it can be written to");
	check(recv(write_end[1], got, sizeof(got), 0) == 4 && !memcmp(got, "last", 4), "what was sent before");
	check(recv(write_end[1], got, sizeof(got), 0) == 0, "no end of file");
	check(send(write_end[1], "back", 4, 0) == 4 && recv(write_end[0], got, sizeof(got), 0) == 4, "the way back");
	check(send(read_end[1], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "its peer can write");
	check(send(read_end[0], "y", 1, 0) == 1 && recv(read_end[1], got, sizeof(got), 0) == 1, "the other way");
	check(recv(both[1], got, 1, 0) == 0 && send(both[1], "x", 1, MSG_NOSIGNAL) == -1, "both");
	check(recv(lone, got, 1, MSG_DONTWAIT) <= 0, "recv");
	return pass();
}
