/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* 256 MiB of shared memory, of which eight pages are in use. */
#include "zdtm.h"

static const size_t size = 256 << 20;
enum { USED = 8 };

int main(int argc, char **argv)
{
	struct vma vma;
	size_t page;
	char *area;

	test_init(argc, argv);
	page = page_size();
	area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(area != MAP_FAILED, "mmap");
	for (size_t i = 0; i < USED; i++)
		pattern_fill(area + i * (size / USED) + i * page, page, i);
	test_daemon();
	test_waitsig();
	check(find_vma(area, &vma), "the area is gone");
	check(vma.rss <= USED * page, "%zu bytes are in memory", vma.rss);
	for (size_t i = 0; i < USED; i++) {
		char *used = area + i * (size / USED) + i * page;

		check(pattern_holds(used, page, i), "page %zu has changed", i);
		check(all_zero(used + page, page), "the page behind page %zu has changed", i);
	}
	return pass();
}
