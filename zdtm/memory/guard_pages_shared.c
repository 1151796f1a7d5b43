/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Guard pages (MADV_GUARD_INSTALL) where memory is shared (Linux 6.15): each process has its own, and what is behind stays. */
#include "zdtm.h"

#include <fcntl.h>

enum { PAGES = 4, GUARD_INSTALL = 102, GUARD_REMOVE = 103 };

static char *map_shared(int fd)
{
	char *area = mmap(NULL, PAGES * page_size(), PROT_READ | PROT_WRITE,
			  MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	check(area != MAP_FAILED, "mmap");
	pattern_fill(area, PAGES * page_size(), 1);
	check(madvise(area + page_size(), page_size(), GUARD_INSTALL) == 0, "MADV_GUARD_INSTALL");
	return area;
}

static void verify(const char *what, char *area)
{
	for (size_t i = 0; i < PAGES; i++)
		check(read_faults(area + i * page_size()) == (i == 1), "%s: page %zu is %s guard", what, i, i == 1 ? "no" : "a");
	check(madvise(area + page_size(), page_size(), GUARD_REMOVE) == 0, "MADV_GUARD_REMOVE");
	check(pattern_holds(area, PAGES * page_size(), 1), "%s: the content has changed", what);
}

int main(int argc, char **argv)
{
	char *anonymous, *of_file;
	int fd;

	test_init(argc, argv);
	fd = open(test_filename, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0 && ftruncate(fd, PAGES * page_size()) == 0, "open");
	anonymous = map_shared(-1);
	of_file = map_shared(fd);
	test_daemon();
	test_waitsig();
	verify("anonymous", anonymous);
	verify("file", of_file);
	return pass();
}
