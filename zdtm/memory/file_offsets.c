/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Pieces of a file, mapped backwards side by side, so that no two of them could be merged. A piece has the size whose
 * multiples a shared mapping may be moved by without aliases in the caches, which is more than a page on MIPS.
 */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/shm.h>

enum { PIECES = 12 };

int main(int argc, char **argv)
{
	size_t size = SHMLBA;
	struct vma vma;
	char *base;
	int fd;

	test_init(argc, argv);
	base = map_pages((PIECES + 1) * size / page_size());
	base += -(uintptr_t)base % size;
	fd = open(test_filename, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0, "create %s", test_filename);
	for (size_t i = 0; i < PIECES; i++) {
		pattern_fill(base, size, i);
		check(write(fd, base, size) == (ssize_t)size, "write");
	}
	for (size_t i = 0; i < PIECES; i++)
		check(mmap(base + i * size, size, PROT_READ | (i % 2 ? PROT_WRITE : 0),
			   MAP_FIXED | (i % 3 ? MAP_PRIVATE : MAP_SHARED), fd, (PIECES - 1 - i) * size) == base + i * size,
		      "mmap");
	check(close(fd) == 0, "close");
	test_daemon();
	test_waitsig();
	for (size_t i = 0; i < PIECES; i++) {
		check(pattern_holds(base + i * size, size, PIECES - 1 - i), "piece %zu has changed", i);
		check(find_vma(base + i * size, &vma) && vma.offset == (PIECES - 1 - i) * size,
		      "offset of piece %zu is %#jx", i, (uintmax_t)vma.offset);
		check((vma.perms[3] == 'p') == (i % 3 != 0), "piece %zu is %s", i, vma.perms);
	}
	return pass();
}
