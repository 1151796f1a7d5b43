/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* mremap(2) and munmap(2) on a private area, shared memory and a file, all restored. */
#include "zdtm.h"

#include <fcntl.h>

enum { PAGES = 8 };

static char *make(int kind, int fd)
{
	const int flags[] = { MAP_PRIVATE | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS, MAP_SHARED };
	char *area;

	area = mmap(NULL, PAGES * page_size(), PROT_READ | PROT_WRITE, flags[kind], kind == 2 ? fd : -1, 0);
	check(area != MAP_FAILED, "mmap");
	pattern_fill(area, PAGES * page_size(), kind);
	return area;
}

int main(int argc, char **argv)
{
	char *areas[3], *moved;
	size_t size;
	int fd;

	test_init(argc, argv);
	size = PAGES * page_size();
	fd = open(test_filename, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0 && ftruncate(fd, 2 * size) == 0, "create %s", test_filename);
	for (int kind = 0; kind < 3; kind++)
		areas[kind] = make(kind, fd);
	test_daemon();
	test_waitsig();
	for (int kind = 0; kind < 3; kind++) {
		moved = mremap(areas[kind], size, 2 * size, MREMAP_MAYMOVE);
		check(moved != MAP_FAILED && pattern_holds(moved, size, kind), "area %d has changed when it moved", kind);
		/* Shared memory keeps its length, so the new half of it is out of bounds. */
		if (kind != 1)
			check(all_zero(moved + size, size), "the new half of area %d is not zero", kind);
		check(munmap(moved, page_size()) == 0, "munmap");
		check(mremap(moved + page_size(), 2 * size - page_size(), page_size(), 0) == moved + page_size(), "shrink");
	}
	check(pread(fd, areas, 3, size) == 3, "pread");
	return pass();
}
