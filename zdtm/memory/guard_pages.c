/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* MADV_GUARD_INSTALL (Linux 6.13) makes pages fault without splitting the area. */
#include "zdtm.h"

enum { PAGES = 12, GUARD_INSTALL = 102, GUARD_REMOVE = 103 };

int main(int argc, char **argv)
{
	char *area;

	test_init(argc, argv);
	area = map_pages(PAGES);
	pattern_fill(area, PAGES * page_size(), 1);
	for (size_t i = 1; i < PAGES; i += 3)
		check(madvise(area + i * page_size(), page_size(), GUARD_INSTALL) == 0, "MADV_GUARD_INSTALL");
	test_daemon();
	test_waitsig();
	for (size_t i = 0; i < PAGES; i++) {
		char *page = area + i * page_size();

		check(read_faults(page) == (i % 3 == 1), "page %zu is %s guard", i, i % 3 == 1 ? "no" : "a");
		if (i % 3 == 1) {
			check(madvise(page, page_size(), GUARD_REMOVE) == 0, "MADV_GUARD_REMOVE");
			check(all_zero(page, page_size()), "there is something behind guard %zu", i);
		}
	}
	return pass();
}
