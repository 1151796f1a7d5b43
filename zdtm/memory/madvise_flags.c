/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Every advice that leaves a mark on its area, alone and in a combination. */
#include "zdtm.h"

enum { PAGES = 4, NONE = -1 };

static const struct {
	int advice, another;
	const char *flag, *other_flag;
} chosen[] = {
	{ MADV_DONTFORK, NONE, "dc", NULL },
	{ MADV_DONTDUMP, NONE, "dd", NULL },
	{ MADV_WIPEONFORK, NONE, "wf", NULL },
	{ MADV_MERGEABLE, NONE, "mg", NULL },
	{ MADV_HUGEPAGE, NONE, "hg", NULL },
	{ MADV_NOHUGEPAGE, NONE, "nh", NULL },
	{ MADV_SEQUENTIAL, NONE, "sr", NULL },
	{ MADV_RANDOM, NONE, "rr", NULL },
	{ MADV_DONTDUMP, MADV_RANDOM, "dd", "rr" },
	{ MADV_DONTFORK, MADV_NOHUGEPAGE, "dc", "nh" },
};

int main(int argc, char **argv)
{
	static const char *const all[] = { "dc", "dd", "wf", "mg", "hg", "nh", "sr", "rr" };
	char *areas[ARRAY_SIZE(chosen)];
	struct vma vma;

	test_init(argc, argv);
	for (size_t i = 0; i < ARRAY_SIZE(chosen); i++) {
		areas[i] = map_pages(PAGES);
		pattern_fill(areas[i], PAGES * page_size(), i);
		check(madvise(areas[i], PAGES * page_size(), chosen[i].advice) == 0, "advice %zu", i);
		if (chosen[i].another != NONE)
			check(madvise(areas[i], PAGES * page_size(), chosen[i].another) == 0, "advice %zu", i);
	}
	test_daemon();
	test_waitsig();
	for (size_t i = 0; i < ARRAY_SIZE(chosen); i++) {
		check(find_vma(areas[i], &vma), "area %zu is gone", i);
		for (size_t flag = 0; flag < ARRAY_SIZE(all); flag++) {
			const bool given = !strcmp(all[flag], chosen[i].flag) ||
					   (chosen[i].other_flag && !strcmp(all[flag], chosen[i].other_flag));

			check(vma_has(&vma, all[flag]) == given, "area %zu has %s", i, vma.flags);
		}
		check(pattern_holds(areas[i], PAGES * page_size(), i), "area %zu has changed", i);
	}
	return pass();
}
