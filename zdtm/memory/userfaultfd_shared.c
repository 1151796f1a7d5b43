/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Holes of shared memory are reported, what another mapping has put there is not. */
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
			__atomic_add_fetch(&reported, 1, __ATOMIC_SEQ_CST);
			uffd_copy(uffd, page, (page - area) / page_size());
		}
	return NULL;
}

int main(int argc, char **argv)
{
	struct barrier *ready;
	pthread_t thread;
	char *other;

	test_init(argc, argv);
	ready = barrier_new();
	area = mmap(NULL, PAGES * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(area != MAP_FAILED, "mmap");
	/* The same memory once more. */
	other = mremap(area, 0, PAGES * page_size(), MREMAP_MAYMOVE);
	check(other != MAP_FAILED, "mremap");
	for (size_t i = 0; i < PAGES; i += 3)
		pattern_fill(other + i * page_size(), page_size(), i);
	uffd = uffd_new(UFFD_FEATURE_MISSING_SHMEM);
	uffd_register(uffd, area, PAGES, UFFDIO_REGISTER_MODE_MISSING);
	check(pthread_create(&thread, NULL, handler, ready) == 0, "pthread_create");
	barrier_wait(ready, 1);

	test_daemon();
	test_waitsig();

	for (size_t i = 0; i < PAGES; i++) {
		check(pattern_holds(area + i * page_size(), page_size(), i), "page %zu has changed", i);
		check(reported == i - i / 3, "%u faults at page %zu", reported, i);
	}
	check(memcmp(area, other, PAGES * page_size()) == 0, "the memory is not shared any more");
	return pass();
}
