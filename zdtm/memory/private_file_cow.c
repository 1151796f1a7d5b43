/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Written pages belong to the process, the others still show the file, even when it changes. */
#include "zdtm.h"

#include <fcntl.h>

enum { PAGES = 16 };

int main(int argc, char **argv)
{
	size_t page, size;
	char *area, *content;
	int fd;

	test_init(argc, argv);
	page = page_size();
	size = PAGES * page;
	content = map_pages(PAGES);
	pattern_fill(content, size, 1);
	fd = open(test_filename, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0 && write(fd, content, size) == (ssize_t)size, "write %s", test_filename);
	area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	check(area != MAP_FAILED, "mmap");
	for (size_t p = 0; p < PAGES; p += 4)
		pattern_fill(area + p * page, page, 50 + p);
	test_daemon();
	test_waitsig();
	for (size_t p = 0; p < PAGES; p++)
		check(p % 4 ? !memcmp(area + p * page, content + p * page, page) :
			      pattern_holds(area + p * page, page, 50 + p),
		      "page %zu has changed", p);
	check(pread(fd, content, size, 0) == (ssize_t)size && pattern_holds(content, size, 1), "the file has changed");
	check(pwrite(fd, "new", 3, page) == 3 && pwrite(fd, "new", 3, 0) == 3, "write");
	check(!memcmp(area + page, "new", 3), "an untouched page does not show the file");
	check(pattern_holds(area, page, 50), "an own page shows the file");
	return pass();
}
