/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* MADV_DONTNEED in private, MADV_REMOVE in shared memory, and a hole punched into a memfd. */
#include "zdtm.h"

#include <fcntl.h>

enum { PAGES = 30 };

static char *areas[3];

static void punch(int kind, size_t page, int fd)
{
	char *at = areas[kind] + page * page_size();

	if (kind == 2)
		check(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page * page_size(), page_size()) == 0,
		      "fallocate");
	else
		check(madvise(at, page_size(), kind ? MADV_REMOVE : MADV_DONTNEED) == 0, "madvise");
}

int main(int argc, char **argv)
{
	size_t size;
	int fd;

	test_init(argc, argv);
	size = PAGES * page_size();
	fd = memfd_create("holes", 0);
	check(fd >= 0 && ftruncate(fd, size) == 0, "memfd_create");
	areas[0] = map_pages(PAGES);
	areas[1] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	areas[2] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(areas[1] != MAP_FAILED && areas[2] != MAP_FAILED, "mmap");
	for (int kind = 0; kind < 3; kind++) {
		for (size_t page = 0; page < PAGES; page++)
			pattern_fill(areas[kind] + page * page_size(), page_size(), kind * 100 + page);
		for (size_t page = kind; page < PAGES; page += 4)
			punch(kind, page, fd);
	}
	test_daemon();
	test_waitsig();
	for (int kind = 0; kind < 3; kind++) {
		for (size_t page = 0; page < PAGES; page++) {
			char *at = areas[kind] + page * page_size();
			const bool hole = page % 4 == (size_t)kind;

			check(hole ? all_zero(at, page_size()) : pattern_holds(at, page_size(), kind * 100 + page),
			      "page %zu of area %d", page, kind);
		}
	}
	return pass();
}
