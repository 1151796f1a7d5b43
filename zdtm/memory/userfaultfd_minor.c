/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Of shared memory, pages that are there but not mapped are reported, and those that were mapped are not. */
#include "userfaultfd.h"

enum { PAGES = 8 };

static char *area, *other;
static struct uffd_handler handler;

static void resolve(uint64_t flags, char *page)
{
	struct uffdio_continue range = { .range = { (uintptr_t)page, page_size() } };

	check(flags & UFFD_PAGEFAULT_FLAG_MINOR, "flags %#llx", (unsigned long long)flags);
	check(ioctl(handler.fd, UFFDIO_CONTINUE, &range) == 0, "UFFDIO_CONTINUE");
}

int main(int argc, char **argv)
{
	size_t size = PAGES * page_size();
	int memory;

	test_init(argc, argv);
	memory = syscall(SYS_memfd_create, "minor", 0);
	check(memory >= 0 && ftruncate(memory, size) == 0, "memfd_create");
	area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	other = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	check(area != MAP_FAILED && other != MAP_FAILED, "mmap");
	for (size_t i = 0; i < PAGES; i++)
		pattern_fill(other + i * page_size(), page_size(), i);
	handler.fd = uffd_new(UFFD_FEATURE_MINOR_SHMEM);
	uffd_register(handler.fd, area, PAGES, UFFDIO_REGISTER_MODE_MINOR);
	for (size_t i = 0; i < PAGES; i += 2)
		resolve(UFFD_PAGEFAULT_FLAG_MINOR, area + i * page_size());
	handler.answer = resolve;
	uffd_serve(&handler);

	test_daemon();
	test_waitsig();

	for (size_t i = 0; i < PAGES; i++) {
		check(pattern_holds(area + i * page_size(), page_size(), i), "page %zu has changed", i);
		check(handler.reported == (i + 1) / 2, "%u faults at page %zu", handler.reported, i);
	}
	return pass();
}
