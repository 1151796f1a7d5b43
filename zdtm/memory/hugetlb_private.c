/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Private memory of hugetlbfs (MAP_HUGETLB): contents, protection, pages that nobody has touched, copies of a child. */
#include "zdtm.h"

enum { PAGES = 3 };

static struct barrier *ready;
static char *area, *constant;
static size_t size;

static int child(void *argument)
{
	(void)argument;
	pattern_fill(area, size, 7);
	barrier_post(ready);
	test_waitsig();
	check(pattern_holds(area, size, 7), "the child's page has changed");
	check(pattern_holds(area + size, size, 2), "the page that the child has not written has changed");
	check(all_zero(area + 2 * size, 4096), "a page that nobody touched has contents");
	return 0;
}

int main(int argc, char **argv)
{
	struct vma vma;
	size_t resident;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	/* One more is for the child, and one for its look at the last page. */
	size = huge_pages(PAGES + 1 + 2);
	area = mmap(huge_place(size, PAGES), PAGES * size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	check(area != MAP_FAILED, "mmap of %d huge pages", PAGES);
	constant = mmap(huge_place(size, 1), size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
			-1, 0);
	check(constant != MAP_FAILED, "mmap of a huge page");
	pattern_fill(area, size, 1);
	pattern_fill(area + size, size, 2);
	pattern_fill(constant, size, 3);
	check(mprotect(constant, size, PROT_READ) == 0, "mprotect");
	pid = test_fork(child, NULL);
	barrier_wait(ready, 1);
	resident = huge_resident();
	check(resident == 3 * size, "%zu bytes are in memory", resident);

	test_daemon();
	test_waitsig();

	check(huge_resident() == resident, "%zu bytes are in memory, not %zu", huge_resident(), resident);
	check(find_vma(area, &vma) && vma_has(&vma, "ht"), "the area is not of huge pages any more");
	check(find_vma(constant, &vma) && vma_has(&vma, "ht"), "the constant area is not of huge pages any more");
	check(!strcmp(vma.perms, "r--p"), "the protection is %s", vma.perms);
	check(pattern_holds(area, size, 1) && pattern_holds(area + size, size, 2), "a page has changed");
	check(pattern_holds(constant, size, 3), "the constant page has changed");
	test_join(pid);
	pattern_fill(area + 2 * size, size, 4);
	check(pattern_holds(area, size, 1), "the first page has changed");
	return pass();
}
