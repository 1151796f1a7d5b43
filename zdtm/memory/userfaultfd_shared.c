/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Holes of shared memory are reported, what another mapping has put there is not. */
#include "userfaultfd.h"

enum { PAGES = 12 };

static char *area;
static struct uffd_handler handler;

static void answer(uint64_t flags, char *page)
{
	(void)flags;
	uffd_copy(handler.fd, page, (page - area) / page_size());
}

int main(int argc, char **argv)
{
	char *other;

	test_init(argc, argv);
	area = mmap(NULL, PAGES * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(area != MAP_FAILED, "mmap");
	/* The same memory once more. */
	other = mremap(area, 0, PAGES * page_size(), MREMAP_MAYMOVE);
	check(other != MAP_FAILED, "mremap");
	for (size_t i = 0; i < PAGES; i += 3)
		pattern_fill(other + i * page_size(), page_size(), i);
	handler.fd = uffd_new(UFFD_FEATURE_MISSING_SHMEM);
	uffd_register(handler.fd, area, PAGES, UFFDIO_REGISTER_MODE_MISSING);
	handler.answer = answer;
	uffd_serve(&handler);

	test_daemon();
	test_waitsig();

	for (size_t i = 0; i < PAGES; i++) {
		check(pattern_holds(area + i * page_size(), page_size(), i), "page %zu has changed", i);
		check(handler.reported == i - i / 3, "%u faults at page %zu", handler.reported, i);
	}
	check(memcmp(area, other, PAGES * page_size()) == 0, "the memory is not shared any more");
	return pass();
}
