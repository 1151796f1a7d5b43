/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Writes to the pages that userfaultfd(2) protects are reported, and no others. */
#include "userfaultfd.h"

#include <pthread.h>

enum { PAGES = 12 };

static char *area;
static int uffd;
static uint32_t reported;

static void *handler(void *ready)
{
	uint64_t flags;
	char *page;

	barrier_post(ready);
	for (;;)
		if (uffd_fault(uffd, -1, &flags, &page)) {
			check(flags & UFFD_PAGEFAULT_FLAG_WP, "flags %#llx", (unsigned long long)flags);
			__atomic_add_fetch(&reported, 1, __ATOMIC_SEQ_CST);
			uffd_protect(uffd, page, 1, false);
		}
	return NULL;
}

int main(int argc, char **argv)
{
	struct barrier *ready;
	pthread_t thread;
	uint32_t expected = 0;

	test_init(argc, argv);
	ready = barrier_new();
	area = map_pages(PAGES);
	for (size_t i = 0; i < PAGES; i++)
		pattern_fill(area + i * page_size(), page_size(), i);
	uffd = uffd_new(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	uffd_register(uffd, area, PAGES, UFFDIO_REGISTER_MODE_WP);
	for (size_t i = 0; i < PAGES; i += 3)
		uffd_protect(uffd, area + i * page_size(), 2, true);
	check(pthread_create(&thread, NULL, handler, ready) == 0, "pthread_create");
	barrier_wait(ready, 1);

	test_daemon();
	test_waitsig();

	for (size_t i = 0; i < PAGES; i++) {
		volatile char *page = area + i * page_size();

		check(pattern_holds(area + i * page_size(), page_size(), i), "page %zu has changed", i);
		check(reported == expected, "a read of page %zu was reported", i);
		*page = 1;
		expected += i % 3 != 2;
		check(reported == expected, "%u writes until page %zu", reported, i);
	}
	return pass();
}
