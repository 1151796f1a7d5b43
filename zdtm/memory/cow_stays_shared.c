/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* smaps counts pages that are mapped twice or more; a restore that copies them makes them private. */
#include "zdtm.h"

enum { PAGES = 256, CHILDREN = 3 };

static struct barrier *ready;
static char *area;

static size_t shared_bytes(void)
{
	struct vma vma;

	check(find_vma(area, &vma), "the area is gone");
	return vma.shared_dirty;
}

static int child(void *argument)
{
	(void)argument;
	barrier_post(ready);
	test_waitsig();
	check(pattern_holds(area, PAGES * page_size(), 7), "the child has other data");
	return 0;
}

int main(int argc, char **argv)
{
	pid_t pids[CHILDREN];
	size_t before;

	test_init(argc, argv);
	ready = barrier_new();
	area = map_pages(PAGES);
	/* A huge page is shared or not as a whole. */
	check(madvise(area, PAGES * page_size(), MADV_NOHUGEPAGE) == 0, "madvise");
	pattern_fill(area, PAGES * page_size(), 7);
	for (int i = 0; i < CHILDREN; i++)
		pids[i] = test_fork(child, NULL);
	barrier_wait(ready, CHILDREN);
	before = shared_bytes();
	check(before == PAGES * page_size(), "only %zu bytes are shared to begin with", before);
	test_daemon();
	test_waitsig();
	check(shared_bytes() == before, "%zu of %zu bytes are shared", shared_bytes(), before);
	check(pattern_holds(area, PAGES * page_size(), 7), "the parent has other data");
	for (int i = 0; i < CHILDREN; i++)
		test_join(pids[i]);
	return pass();
}
