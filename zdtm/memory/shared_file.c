/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Data written through the mapping before and after the restore are in the file. */
#include "zdtm.h"

#include <fcntl.h>

enum { PAGES = 8 };

int main(int argc, char **argv)
{
	size_t page, size;
	char *area, *content;
	int fd;

	test_init(argc, argv);
	page = page_size();
	size = PAGES * page;
	content = map_pages(PAGES);
	fd = open(test_filename, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0 && ftruncate(fd, size) == 0, "create %s", test_filename);
	area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(area != MAP_FAILED && close(fd) == 0, "mmap");
	pattern_fill(area, size / 2, 1);
	test_daemon();
	test_waitsig();
	check(pattern_holds(area, size / 2, 1) && all_zero(area + size / 2, size / 2), "the mapping has changed");
	pattern_fill(area + size / 2, size / 2, 2);
	fd = open(test_filename, O_RDONLY);
	check(fd >= 0 && read(fd, content, size) == (ssize_t)size, "read %s", test_filename);
	check(pattern_holds(content, size / 2, 1), "what was written before is not in the file");
	check(pattern_holds(content + size / 2, size / 2, 2), "what was written after is not in the file");
	return pass();
}
