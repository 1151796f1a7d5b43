/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A connected pair of streams: unread bytes in both directions, in order, and the end of file after them (unix(7)). */
#include "zdtm.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#define SIZE 40000

int main(int argc, char **argv)
{
	static uint8_t written[SIZE], got[SIZE + 1];
	int ends[2], unread;

	test_init(argc, argv);
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
	pattern_fill(written, SIZE, 5);
	check(write(ends[0], written, SIZE) == SIZE && write(ends[1], "back", 4) == 4, "write");
	check(read(ends[1], got, 77) == 77, "read");

	test_daemon();
	test_waitsig();

	check(ioctl(ends[1], FIONREAD, &unread) == 0 && unread == SIZE - 77, "%d bytes are unread", unread);
	check(recv(ends[1], got, SIZE - 77, MSG_WAITALL) == SIZE - 77, "recv");
	check(!memcmp(got, written + 77, SIZE - 77), "the bytes differ");
	check(read(ends[0], got, sizeof(got)) == 4 && !memcmp(got, "back", 4), "the other way");
	check(recv(ends[0], got, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN, "there is more");
	check(write(ends[1], "new", 3) == 3 && read(ends[0], got, 10) == 3, "it is not connected any more");
	check(close(ends[1]) == 0 && read(ends[0], got, 1) == 0, "no end of file: somebody else holds the other end");
	return pass();
}
