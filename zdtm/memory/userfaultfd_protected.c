/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Writes to the pages that userfaultfd(2) protects are reported, and no others. */
#include "userfaultfd.h"

enum { PAGES = 12 };

static char *area;
static struct uffd_handler handler;

static void answer(uint64_t flags, char *page)
{
	check(flags & UFFD_PAGEFAULT_FLAG_WP, "flags %#llx", (unsigned long long)flags);
	uffd_protect(handler.fd, page, 1, false);
}

int main(int argc, char **argv)
{
	uint32_t expected = 0;

	test_init(argc, argv);
	area = map_pages(PAGES);
	for (size_t i = 0; i < PAGES; i++)
		pattern_fill(area + i * page_size(), page_size(), i);
	handler.fd = uffd_new(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	uffd_register(handler.fd, area, PAGES, UFFDIO_REGISTER_MODE_WP);
	for (size_t i = 0; i < PAGES; i += 3)
		uffd_protect(handler.fd, area + i * page_size(), 2, true);
	handler.answer = answer;
	uffd_serve(&handler);

	test_daemon();
	test_waitsig();

	for (size_t i = 0; i < PAGES; i++) {
		volatile char *page = area + i * page_size();

		check(pattern_holds(area + i * page_size(), page_size(), i), "page %zu has changed", i);
		check(handler.reported == expected, "a read of page %zu was reported", i);
		*page = 1;
		expected += i % 3 != 2;
		check(handler.reported == expected, "%u writes until page %zu", handler.reported, i);
	}
	return pass();
}
