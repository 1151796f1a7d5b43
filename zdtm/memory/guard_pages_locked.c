/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* mlock(2) locks memory with guard pages, although it stops at the first of them. */
#include "zdtm.h"

enum { PAGES = 4, GUARD = 2, GUARD_INSTALL = 102 };

int main(int argc, char **argv)
{
	size_t size = PAGES * page_size();
	char *areas[2];

	test_init(argc, argv);
	for (int i = 0; i < 2; i++) {
		/* Neighbours would become one. */
		check(mmap(NULL, page_size(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED, "mmap");
		areas[i] = map_pages(PAGES);
		pattern_fill(areas[i], size, i);
		check(madvise(areas[i] + GUARD * page_size(), page_size(), GUARD_INSTALL) == 0, "MADV_GUARD_INSTALL");
	}
	check(mlock(areas[0], size) == -1 && errno == ENOMEM, "mlock passes a guard");
	check(mlock2(areas[1], size, MLOCK_ONFAULT) == 0, "mlock2");

	test_daemon();
	test_waitsig();

	for (int i = 0; i < 2; i++) {
		struct vma vma;

		check(find_vma(areas[i], &vma) && vma_has(&vma, "lo"), "area %d is not locked", i);
		check(vma_has(&vma, "lf") == (i == 1), "area %d is locked otherwise", i);
		check(pattern_holds(areas[i], GUARD * page_size(), i), "area %d has changed", i);
		for (size_t page = 0; page < PAGES; page++)
			check(read_faults(areas[i] + page * page_size()) == (page == GUARD), "page %zu of area %d", page, i);
	}
	return pass();
}
