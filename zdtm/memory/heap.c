/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Blocks of many sizes, some freed in between; afterwards the allocator itself must still be intact. */
#include "zdtm.h"

enum { BLOCKS = 400 };

static size_t size_of(int i)
{
	return (size_t)i * i * 7 % 9000 + 1 + (i % 50 == 0 ? 300000 : 0);
}

int main(int argc, char **argv)
{
	unsigned char *blocks[BLOCKS], *more;

	test_init(argc, argv);
	for (int i = 0; i < BLOCKS; i++) {
		blocks[i] = malloc(size_of(i));
		check(blocks[i], "malloc");
		pattern_fill(blocks[i], size_of(i), i);
	}
	for (int i = 0; i < BLOCKS; i += 3)
		free(blocks[i]);
	test_daemon();
	test_waitsig();
	for (int i = 0; i < BLOCKS; i++)
		if (i % 3)
			check(pattern_holds(blocks[i], size_of(i), i), "block %d has changed", i);
	for (int i = 1; i < BLOCKS; i += 3) {
		blocks[i] = realloc(blocks[i], size_of(i) + 5000);
		check(blocks[i] && pattern_holds(blocks[i], size_of(i), i), "block %d is damaged by realloc", i);
		free(blocks[i]);
	}
	more = malloc(3 << 20);
	check(more, "malloc");
	memset(more, 1, 3 << 20);
	return pass();
}
