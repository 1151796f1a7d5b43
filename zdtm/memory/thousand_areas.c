/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Many small areas with alternating protection, each with a page of data. */
#include "zdtm.h"

enum { AREAS = 1000, STRIDE = 4 };

static char *area(char *base, size_t i)
{
	return base + i * STRIDE * page_size();
}

int main(int argc, char **argv)
{
	struct vma vma;
	char *base;

	test_init(argc, argv);
	base = map_pages(AREAS * STRIDE);
	for (size_t i = 0; i < AREAS; i++) {
		pattern_fill(area(base, i), page_size(), i);
		/* Two pages, one of them written; a hole; one page that may not be touched. */
		check(munmap(area(base, i) + 2 * page_size(), page_size()) == 0, "munmap");
		check(mprotect(area(base, i) + 3 * page_size(), page_size(), PROT_NONE) == 0, "mprotect");
		if (i % 2)
			check(mprotect(area(base, i), 2 * page_size(), PROT_READ) == 0, "mprotect");
	}
	test_daemon();
	test_waitsig();
	for (size_t i = 0; i < AREAS; i++) {
		check(pattern_holds(area(base, i), page_size(), i), "area %zu has changed", i);
		check(all_zero(area(base, i) + page_size(), page_size()), "area %zu is not zero behind its data", i);
	}
	for (size_t i = 0; i < AREAS; i += 333) {
		check(find_vma(area(base, i), &vma) && !strcmp(vma.perms, i % 2 ? "r--p" : "rw-p"), "area %zu: %s", i,
		      vma.perms);
		check(!find_vma(area(base, i) + 2 * page_size(), &vma), "the hole of area %zu is filled", i);
	}
	return pass();
}
