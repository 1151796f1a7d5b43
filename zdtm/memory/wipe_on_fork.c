/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* MADV_WIPEONFORK and MADV_DONTFORK take effect in a child that is forked after the restore. */
#include "zdtm.h"

static char *wiped, *withheld;

static int child(void *argument)
{
	struct vma vma;

	(void)argument;
	check(all_zero(wiped, page_size()), "the child sees what should be wiped");
	check(!find_vma(withheld, &vma), "the child has what should be withheld");
	test_waitsig();
	return 0;
}

int main(int argc, char **argv)
{
	test_init(argc, argv);
	wiped = map_pages(1);
	withheld = map_pages(1);
	check(madvise(wiped, page_size(), MADV_WIPEONFORK) == 0, "MADV_WIPEONFORK");
	check(madvise(withheld, page_size(), MADV_DONTFORK) == 0, "MADV_DONTFORK");
	pattern_fill(wiped, page_size(), 1);
	pattern_fill(withheld, page_size(), 2);
	test_daemon();
	test_waitsig();
	check(pattern_holds(wiped, page_size(), 1) && pattern_holds(withheld, page_size(), 2), "contents have changed");
	/* The new child inherits a flag that says SIGTERM has come. */
	test_terminated = 0;
	test_join(test_fork(child, NULL));
	return pass();
}
