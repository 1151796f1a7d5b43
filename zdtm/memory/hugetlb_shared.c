/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, which parent and child have mapped, the child only the second half of it. */
#include "zdtm.h"

enum { PAGES = 2 };

static struct barrier *ready;
static char *area;
static size_t size;

static int child(void *argument)
{
	(void)argument;
	check(munmap(area, size) == 0, "munmap");
	barrier_post(ready);
	test_waitsig();
	check(pattern_holds(area + size, size, 2), "the child sees other data");
	memcpy(area + size, "child", 5);
	return 0;
}

int main(int argc, char **argv)
{
	struct vma vma;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	size = huge_pages(PAGES);
	area = mmap(huge_place(size, PAGES), PAGES * size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	check(area != MAP_FAILED, "mmap of %d huge pages", PAGES);
	pattern_fill(area + size, size, 2);
	pid = test_fork(child, NULL);
	barrier_wait(ready, 1);
	check(huge_resident() == size, "%zu bytes are in memory", huge_resident());

	test_daemon();
	test_waitsig();

	check(find_vma(area, &vma) && vma_has(&vma, "ht"), "the area is not of huge pages any more");
	check(!strcmp(vma.name, "/anon_hugepage (deleted)"), "it is called %s", vma.name);
	check(pattern_holds(area + size, size, 2), "the page has changed");
	check(huge_resident() == size, "%zu bytes are in memory", huge_resident());
	test_join(pid);
	check(!memcmp(area + size, "child", 5), "the area is not shared any more");
	check(all_zero(area, size), "the page that nobody touched has contents");
	return pass();
}
