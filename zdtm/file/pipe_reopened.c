/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * More ends of one pipe, opened through /proc/self/fd (proc(5)): a second reader with flags of its own, and one
 * that both reads and writes.
 */
#include "zdtm.h"

#include <fcntl.h>

static int reopen(int fd, int flags)
{
	char path[64];
	int end;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	end = open(path, flags);
	check(end >= 0, "open %s", path);
	return end;
}

int main(int argc, char **argv)
{
	char text[16];
	int ends[2], reader, both;

	test_init(argc, argv);
	check(pipe(ends) == 0, "pipe");
	reader = reopen(ends[0], O_RDONLY | O_NONBLOCK);
	both = reopen(ends[0], O_RDWR);
	check(write(ends[1], "abcdef", 6) == 6, "write");

	test_daemon();
	test_waitsig();

	check((fcntl(reader, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_RDONLY | O_NONBLOCK), "flags of the reader");
	check((fcntl(both, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == O_RDWR, "flags of the end that does both");
	check(!(fcntl(ends[0], F_GETFL) & O_NONBLOCK), "flags of the first end");
	check(read(reader, text, 2) == 2 && !memcmp(text, "ab", 2), "read by the second reader");
	check(read(both, text, 2) == 2 && !memcmp(text, "cd", 2), "read by the end that does both");
	check(read(ends[0], text, 2) == 2 && !memcmp(text, "ef", 2), "read by the first end");
	check(close(ends[1]) == 0 && read(reader, text, 1) == -1 && errno == EAGAIN, "the other writer is lost");
	errno = 0;
	check(write(both, "gh", 2) == 2 && read(reader, text, 2) == 2 && !memcmp(text, "gh", 2), "write by it");
	check(close(both) == 0 && read(reader, text, 1) == 0, "no end of file: a writer is left over");
	return pass();
}
