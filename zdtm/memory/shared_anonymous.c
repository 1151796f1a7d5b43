/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Two areas, one of them mapped at another address in the child by mremap(2). */
#include "zdtm.h"

enum { PAGES = 10 };

static struct barrier *ready;
static char *first, *second;

static int child(void *argument)
{
	const size_t size = PAGES * page_size();
	char *moved;

	(void)argument;
	moved = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(mremap(second, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, moved) == moved, "mremap");
	pattern_fill(moved, size, 2);
	barrier_post(ready);
	test_waitsig();
	check(pattern_holds(first, size, 1) && pattern_holds(moved, size, 2), "the child sees other data");
	pattern_fill(first, size, 3);
	pattern_fill(moved, size, 4);
	return 0;
}

int main(int argc, char **argv)
{
	size_t size;
	pid_t pid;

	test_init(argc, argv);
	size = PAGES * page_size();
	ready = barrier_new();
	first = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	second = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(first != MAP_FAILED && second != MAP_FAILED, "mmap");
	pattern_fill(first, size, 1);
	pid = test_fork(child, NULL);
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	check(pattern_holds(first, size, 1) && pattern_holds(second, size, 2), "the parent sees other data");
	test_join(pid);
	check(pattern_holds(first, size, 3), "the first area is not shared any more");
	check(pattern_holds(second, size, 4), "the second area is not shared any more");
	return pass();
}
