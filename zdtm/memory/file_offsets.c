/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Pieces of a file, mapped backwards side by side, so that no two of them could be merged. */
#include "zdtm.h"

#include <fcntl.h>

enum { PAGES = 32 };

int main(int argc, char **argv)
{
	struct vma vma;
	char *base;
	int fd;

	test_init(argc, argv);
	base = map_pages(PAGES);
	fd = open(test_filename, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0, "create %s", test_filename);
	for (size_t i = 0; i < PAGES; i++) {
		pattern_fill(base, page_size(), i);
		check(write(fd, base, page_size()) == (ssize_t)page_size(), "write");
	}
	for (size_t i = 0; i < PAGES; i++)
		check(mmap(base + i * page_size(), page_size(), PROT_READ | (i % 2 ? PROT_WRITE : 0),
			   MAP_FIXED | (i % 3 ? MAP_PRIVATE : MAP_SHARED), fd,
			   (PAGES - 1 - i) * page_size()) == base + i * page_size(),
		      "mmap");
	check(close(fd) == 0, "close");
	test_daemon();
	test_waitsig();
	for (size_t i = 0; i < PAGES; i++) {
		check(pattern_holds(base + i * page_size(), page_size(), PAGES - 1 - i), "piece %zu has changed", i);
		check(find_vma(base + i * page_size(), &vma) && vma.offset == (PAGES - 1 - i) * page_size(),
		      "offset of piece %zu is %#jx", i, (uintmax_t)vma.offset);
		check((vma.perms[3] == 'p') == (i % 3 != 0), "piece %zu is %s", i, vma.perms);
	}
	return pass();
}
