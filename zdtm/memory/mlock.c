/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* mlock(2), mlock2(2) with MLOCK_ONFAULT, and an area beside them that is not locked. */
#include "zdtm.h"

enum { PAGES = 16 };

static void verify(const char *area, bool locked, bool on_fault)
{
	struct vma vma;

	check(find_vma(area, &vma), "the area is gone");
	check(vma_has(&vma, "lo") == locked, "flags are %s", vma.flags);
	if (on_fault)
		check(vma.rss == page_size(), "%zu bytes are in memory", vma.rss);
	else if (locked)
		check(vma.rss == PAGES * page_size(), "%zu bytes are in memory", vma.rss);
}

static void verify_all(char **areas)
{
	char locked[64];

	verify(areas[0], true, false);
	verify(areas[1], true, true);
	verify(areas[2], false, false);
	proc_field("self/status", "VmLck", locked, sizeof(locked));
	check(strtoul(locked, NULL, 10) * 1024 == 2 * PAGES * page_size(), "locked: %s", locked);
}

int main(int argc, char **argv)
{
	char *areas[3];

	test_init(argc, argv);
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
		/* Separate pieces, so that none is merged with its neighbour. */
		areas[i] = mmap(NULL, PAGES * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		check(areas[i] != MAP_FAILED, "mmap");
		pattern_fill(areas[i], page_size(), i);
	}
	check(mlock(areas[0], PAGES * page_size()) == 0, "mlock");
	check(mlock2(areas[1], PAGES * page_size(), MLOCK_ONFAULT) == 0, "mlock2");
	verify_all(areas);
	test_daemon();
	test_waitsig();
	verify_all(areas);
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++)
		check(pattern_holds(areas[i], page_size(), i), "area %zu has changed", i);
	return pass();
}
