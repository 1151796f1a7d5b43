/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The capacity of a pipe set with F_SETPIPE_SZ (fcntl(2)), larger and smaller than the default. */
#include "zdtm.h"

#include <fcntl.h>

int main(int argc, char **argv)
{
	int large[2], small[2], wanted = 256 * 1024, page;
	uint8_t *memory;

	test_init(argc, argv);
	page = page_size();
	memory = malloc(wanted);
	check(memory && pipe(large) == 0 && pipe(small) == 0, "pipe");
	check(fcntl(large[1], F_SETPIPE_SZ, wanted) == wanted, "F_SETPIPE_SZ %d", wanted);
	check(fcntl(small[0], F_SETPIPE_SZ, page) == page, "F_SETPIPE_SZ %d", page);
	pattern_fill(memory, 100000, 4);
	check(write(large[1], memory, 100000) == 100000, "write");

	test_daemon();
	test_waitsig();

	check(fcntl(large[0], F_GETPIPE_SZ) == wanted, "size is %d, was %d", fcntl(large[0], F_GETPIPE_SZ), wanted);
	check(fcntl(small[0], F_GETPIPE_SZ) == page, "size is %d, was %d", fcntl(small[0], F_GETPIPE_SZ), page);
	check(read(large[0], memory, wanted) == 100000 && pattern_holds(memory, 100000, 4), "contents");
	check(fcntl(large[1], F_SETFL, O_NONBLOCK) == 0 && fcntl(small[1], F_SETFL, O_NONBLOCK) == 0, "F_SETFL");
	check(write(large[1], memory, wanted) == wanted, "the large pipe takes less than %d bytes", wanted);
	check(write(small[1], memory, 2 * page) == page, "the small pipe does not take exactly one page");
	return pass();
}
