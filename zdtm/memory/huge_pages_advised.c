/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* 16 MiB with MADV_HUGEPAGE, written as a whole and given back in part, so that huge and small pages mix. */
#include "zdtm.h"

static const size_t size = 16 << 20, hole = 5 << 20;

int main(int argc, char **argv)
{
	struct vma vma;
	char *area;

	test_init(argc, argv);
	area = map_pages(size / page_size());
	check(madvise(area, size, MADV_HUGEPAGE) == 0, "madvise");
	pattern_fill(area, size, 1);
	check(madvise(area + hole, 3 * page_size(), MADV_DONTNEED) == 0, "madvise");
	test_daemon();
	test_waitsig();
	check(all_zero(area + hole, 3 * page_size()), "the hole is filled");
	pattern_fill(area + hole, 3 * page_size(), 2);
	check(pattern_holds(area, hole, 1), "data before the hole has changed");
	check(find_vma(area, &vma) && vma_has(&vma, "hg"), "the advice is lost: %s", vma.flags);
	memset(area, 0x33, size);
	return pass();
}
