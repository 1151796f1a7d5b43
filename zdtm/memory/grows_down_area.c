/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* mmap(2) with MAP_GROWSDOWN, full of data, extended by a page fault after the restore. */
#include "zdtm.h"

enum { PAGES = 20, ROOM = 600 };

int main(int argc, char **argv)
{
	char *room, *area;
	size_t page;

	test_init(argc, argv);
	page = page_size();
	/* The kernel keeps a gap of 256 pages below such an area. */
	room = map_pages(ROOM + PAGES);
	check(munmap(room, (ROOM + PAGES) * page) == 0, "munmap");
	area = mmap(room + ROOM * page, PAGES * page, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0);
	check(area == room + ROOM * page, "mmap");
	pattern_fill(area, PAGES * page, 3);
	test_daemon();
	test_waitsig();
	check(pattern_holds(area, PAGES * page, 3), "the area has changed");
	for (int i = 1; i <= 30; i++)
		area[-(ptrdiff_t)(i * page)] = i;
	for (int i = 1; i <= 30; i++)
		check(area[-(ptrdiff_t)(i * page)] == i, "page %d below has changed", i);
	return pass();
}
