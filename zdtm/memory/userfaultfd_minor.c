/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Of shared memory, pages that are there but not mapped are reported, and those that were mapped are not. */
#include "userfaultfd.h"

#include <pthread.h>

enum { PAGES = 8 };

static char *area, *other;
static int uffd;
static uint32_t reported;

static void resolve(char *page)
{
	struct uffdio_continue range = { .range = { (uintptr_t)page, page_size() } };

	check(ioctl(uffd, UFFDIO_CONTINUE, &range) == 0, "UFFDIO_CONTINUE");
}

static void *handler(void *ready)
{
	uint64_t flags;
	char *page;

	barrier_post(ready);
	for (;;)
		if (uffd_fault(uffd, -1, &flags, &page)) {
			check(flags & UFFD_PAGEFAULT_FLAG_MINOR, "flags %#llx", (unsigned long long)flags);
			__atomic_add_fetch(&reported, 1, __ATOMIC_SEQ_CST);
			resolve(page);
		}
	return NULL;
}

int main(int argc, char **argv)
{
	size_t size = PAGES * page_size();
	struct barrier *ready;
	pthread_t thread;
	int memory;

	test_init(argc, argv);
	ready = barrier_new();
	memory = syscall(SYS_memfd_create, "minor", 0);
	check(memory >= 0 && ftruncate(memory, size) == 0, "memfd_create");
	area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	other = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	check(area != MAP_FAILED && other != MAP_FAILED, "mmap");
	for (size_t i = 0; i < PAGES; i++)
		pattern_fill(other + i * page_size(), page_size(), i);
	uffd = uffd_new(UFFD_FEATURE_MINOR_SHMEM);
	uffd_register(uffd, area, PAGES, UFFDIO_REGISTER_MODE_MINOR);
	for (size_t i = 0; i < PAGES; i += 2)
		resolve(area + i * page_size());
	check(pthread_create(&thread, NULL, handler, ready) == 0, "pthread_create");
	barrier_wait(ready, 1);

	test_daemon();
	test_waitsig();

	for (size_t i = 0; i < PAGES; i++) {
		check(pattern_holds(area + i * page_size(), page_size(), i), "page %zu has changed", i);
		check(reported == (i + 1) / 2, "%u faults at page %zu", reported, i);
	}
	return pass();
}
