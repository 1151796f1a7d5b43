/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A connection whose other end is closed: first what it has sent, then the end; or its reset (unix(7), ECONNRESET). */
#include "zdtm.h"

#include <sys/socket.h>

int main(int argc, char **argv)
{
	int ended[2], reset[2];
	char got[10];

	test_init(argc, argv);
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, ended) == 0, "socketpair");
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, reset) == 0, "socketpair");
	check(write(ended[1], "will", 4) == 4 && close(ended[1]) == 0, "close");
	/* Closed with bytes that it has not read. */
	check(write(reset[0], "unread", 6) == 6 && close(reset[1]) == 0, "close");

	test_daemon();
	test_waitsig();

	check(read(ended[0], got, sizeof(got)) == 4 && !memcmp(got, "will", 4), "what it has sent");
	check(read(ended[0], got, sizeof(got)) == 0, "no end of file");
	check(send(ended[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "it can be written to");
	check(read(reset[0], got, sizeof(got)) == -1 && errno == ECONNRESET, "it was not reset");
	check(read(reset[0], got, sizeof(got)) == 0, "no end of file after the reset");
	return pass();
}
