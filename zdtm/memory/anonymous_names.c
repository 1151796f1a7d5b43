/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* PR_SET_VMA_ANON_NAME, shown in maps; private areas, and shared ones where the kernel names them, too. */
#include "zdtm.h"

#include <sys/prctl.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

static const char *const names[] = { "a name", "with:colon (and more)", "stack of thread 7" };

int main(int argc, char **argv)
{
	char *areas[ARRAY_SIZE(names)], expected[96];
	struct vma vma;

	test_init(argc, argv);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		areas[i] = map_pages(3);
		pattern_fill(areas[i], page_size(), i);
		check(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, areas[i], 2 * page_size(), names[i]) == 0, "name %zu", i);
	}
	test_daemon();
	test_waitsig();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(expected, sizeof(expected), "[anon:%s]", names[i]);
		check(find_vma(areas[i] + page_size(), &vma), "area %zu is gone", i);
		check(!strcmp(vma.name, expected), "area %zu is called '%s'", i, vma.name);
		check(find_vma(areas[i] + 2 * page_size(), &vma) && strcmp(vma.name, expected), "the name has spread");
		check(pattern_holds(areas[i], page_size(), i), "area %zu has changed", i);
	}
	return pass();
}
