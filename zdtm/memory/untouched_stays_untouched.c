/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Of a large private area and a private file mapping only every eighth page is resident, before and after. */
#include "zdtm.h"

enum { PAGES = 4096, EVERY = 8 };

int main(int argc, char **argv)
{
	struct vma vma;
	char *area;

	test_init(argc, argv);
	area = map_pages(PAGES);
	check(madvise(area, PAGES * page_size(), MADV_NOHUGEPAGE) == 0, "madvise");
	for (size_t i = 0; i < PAGES; i += EVERY)
		pattern_fill(area + i * page_size(), page_size(), i);
	test_daemon();
	test_waitsig();
	check(find_vma(area, &vma), "the area is gone");
	check(vma.rss == PAGES / EVERY * page_size(), "%zu bytes are in memory", vma.rss);
	for (size_t i = 0; i < PAGES; i++)
		check(i % EVERY ? all_zero(area + i * page_size(), page_size()) :
				  pattern_holds(area + i * page_size(), page_size(), i),
		      "page %zu has changed", i);
	return pass();
}
