/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Unread bytes of a pipe, in order, and nothing after them (pipe(7)). */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#define SIZE 12345

int main(int argc, char **argv)
{
	uint8_t written[SIZE], got[SIZE + 1];
	int ends[2], unread;

	test_init(argc, argv);
	check(pipe(ends) == 0, "pipe");
	pattern_fill(written, SIZE, 3);
	check(write(ends[1], written, SIZE) == SIZE, "write");
	check(read(ends[0], got, 45) == 45, "read");

	test_daemon();
	test_waitsig();

	check(ioctl(ends[0], FIONREAD, &unread) == 0 && unread == SIZE - 45, "%d bytes are unread", unread);
	check(read(ends[0], got, sizeof(got)) == SIZE - 45, "read");
	check(!memcmp(got, written + 45, SIZE - 45), "the bytes differ");
	check(write(ends[1], "after", 5) == 5 && read(ends[0], got, sizeof(got)) == 5, "the pipe works no more");
	check(!memcmp(got, "after", 5), "new bytes differ");
	check(close(ends[1]) == 0 && read(ends[0], got, 1) == 0, "no end of file: somebody else holds the write end");
	return pass();
}
