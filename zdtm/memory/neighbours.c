/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Private, shared, file, and unreadable areas without a gap; what is cut out of the middle stays out. */
#include "zdtm.h"

#include <fcntl.h>

/* Where caches alias, shared memory stands at multiples of several pages (shmat(2), SHMLBA): 64 KiB are enough. */
enum { AREAS = 5, PAGES = 16 };

int main(int argc, char **argv)
{
	static const int flags[AREAS] = { MAP_PRIVATE | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS, MAP_PRIVATE,
					  MAP_SHARED | MAP_ANONYMOUS, MAP_PRIVATE | MAP_ANONYMOUS };
	struct vma vma, next;
	size_t size, page;
	char *base;
	int fd;

	test_init(argc, argv);
	page = page_size();
	size = PAGES * page;
	base = map_pages((AREAS + 1) * PAGES);
	base += (size - (uintptr_t)base % size) % size;
	fd = open(test_filename, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0 && ftruncate(fd, size) == 0, "create %s", test_filename);
	for (size_t i = 0; i < AREAS; i++) {
		check(mmap(base + i * size, size, PROT_READ | PROT_WRITE, MAP_FIXED | flags[i],
			   flags[i] & MAP_ANONYMOUS ? -1 : fd, 0) == base + i * size,
		      "mmap");
		pattern_fill(base + i * size, size, i);
	}
	check(munmap(base + size + page, page) == 0, "munmap");
	check(mprotect(base + 4 * size + page, page, PROT_NONE) == 0, "mprotect");
	test_daemon();
	test_waitsig();
	check(!find_vma(base + size + page, &vma), "the hole is filled");
	check(find_vma(base + 4 * size + page, &vma) && !strcmp(vma.perms, "---p"), "protection is %s", vma.perms);
	check(mprotect(base + 4 * size + page, page, PROT_READ) == 0, "mprotect");
	for (size_t i = 0; i < AREAS; i++) {
		check(find_vma(base + i * size, &next), "area %zu is gone", i);
		check((next.perms[3] == 's') == ((flags[i] & MAP_SHARED) != 0), "area %zu is %s", i, next.perms);
		if (i != 1)
			check(pattern_holds(base + i * size, size, i), "area %zu has changed", i);
	}
	check(pattern_holds(base + size, page, 1), "what is before the hole has changed");
	return pass();
}
