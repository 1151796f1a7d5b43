/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A pipe filled to the last byte: all of it is there, and a writer has to wait until there is room (pipe(7)). */
#include "zdtm.h"

#include <fcntl.h>

int main(int argc, char **argv)
{
	uint8_t *memory;
	int ends[2], size;

	test_init(argc, argv);
	check(pipe2(ends, O_NONBLOCK) == 0, "pipe");
	size = fcntl(ends[0], F_GETPIPE_SZ);
	memory = malloc(size);
	check(size > 0 && memory, "F_GETPIPE_SZ");
	pattern_fill(memory, size, 5);
	check(write(ends[1], memory, size) == size, "fill the pipe");
	check(write(ends[1], "x", 1) == -1 && errno == EAGAIN, "the pipe is not full");

	test_daemon();
	test_waitsig();

	check(write(ends[1], "x", 1) == -1 && errno == EAGAIN, "the pipe is not full any more");
	memset(memory, 0, size);
	check(read(ends[0], memory, size) == size && pattern_holds(memory, size, 5), "contents");
	check(read(ends[0], memory, 1) == -1 && errno == EAGAIN, "there is more in the pipe");
	check(write(ends[1], "x", 1) == 1, "an empty pipe takes no byte");
	return pass();
}
