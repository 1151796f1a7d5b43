/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Of huge pages of hugetlbfs the absent one is reported. */
#include "userfaultfd.h"

#include <pthread.h>

enum { PAGES = 2 };

static size_t size;
static char *area;
static int uffd;

static void *waiter(void *page)
{
	return pattern_holds(page, size, 8) ? page : NULL;
}

int main(int argc, char **argv)
{
	struct uffdio_copy copy = { 0 };
	pthread_t thread;
	uint64_t flags;
	char *content, *page;
	void *held;

	test_init(argc, argv);
	size = huge_pages(PAGES);
	area = mmap(huge_place(size, PAGES), PAGES * size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	check(area != MAP_FAILED, "mmap");
	pattern_fill(area, size, 7);
	content = map_pages(size / page_size());
	pattern_fill(content, size, 8);
	uffd = uffd_new(UFFD_FEATURE_MISSING_HUGETLBFS);
	uffd_register(uffd, area, PAGES * size / page_size(), UFFDIO_REGISTER_MODE_MISSING);

	test_daemon();
	test_waitsig();

	check(pattern_holds(area, size, 7), "the first page has changed");
	check(pthread_create(&thread, NULL, waiter, area + size) == 0, "pthread_create");
	check(uffd_fault(uffd, 60000, &flags, &page), "no fault is reported");
	copy = (struct uffdio_copy){ .dst = (uintptr_t)area + size, .src = (uintptr_t)content, .len = size };
	check(ioctl(uffd, UFFDIO_COPY, &copy) == 0, "UFFDIO_COPY");
	check(pthread_join(thread, &held) == 0 && held, "the second page");
	return pass();
}
