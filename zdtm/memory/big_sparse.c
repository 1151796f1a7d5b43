/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* 64 GiB of address space (1 GiB where there is no more), reserved and not; a page here and there is in use. */
#include "zdtm.h"

enum { USED = 40 };

static char *map(size_t size, int protection)
{
	return mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

int main(int argc, char **argv)
{
	const size_t size = sizeof(size_t) == 8 ? (size_t)1 << 36 : (size_t)1 << 30;
	char *area, *reserved;
	struct vma vma;

	test_init(argc, argv);
	area = map(size, PROT_READ | PROT_WRITE);
	reserved = map(size, PROT_NONE);
	check(area != MAP_FAILED && reserved != MAP_FAILED, "mmap");
	check(madvise(area, size, MADV_NOHUGEPAGE) == 0, "madvise");
	for (size_t i = 0; i < USED; i++)
		pattern_fill(area + i * (size / USED / page_size()) * page_size(), page_size(), i);
	test_daemon();
	test_waitsig();
	check(find_vma(area, &vma) && vma.end - vma.start >= size, "the area has shrunk");
	check(vma_has(&vma, "nr"), "memory is reserved now: %s", vma.flags);
	check(vma.rss <= USED * page_size(), "%zu bytes are in memory", vma.rss);
	for (size_t i = 0; i < USED; i++) {
		char *used = area + i * (size / USED / page_size()) * page_size();

		check(pattern_holds(used, page_size(), i), "page %zu has changed", i);
		check(all_zero(used + page_size(), page_size()), "the page behind page %zu has changed", i);
	}
	check(mprotect(reserved, page_size(), PROT_READ) == 0 && all_zero(reserved, page_size()), "reserved area");
	return pass();
}
