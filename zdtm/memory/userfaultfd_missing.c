/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Absent pages are reported to a thread that brings them; those that are there, also as zeros, are not. */
#include "userfaultfd.h"

enum { PAGES = 12 };

static char *area;
static struct uffd_handler handler;

static void answer(uint64_t flags, char *page)
{
	(void)flags;
	uffd_copy(handler.fd, page, 100 + (page - area) / page_size());
}

int main(int argc, char **argv)
{
	struct uffdio_zeropage zero = { .range.len = 0 };
	uint32_t absent = 0;

	test_init(argc, argv);
	area = map_pages(PAGES);
	pattern_fill(area, page_size(), 100);
	handler.fd = uffd_new(0);
	uffd_register(handler.fd, area, PAGES, UFFDIO_REGISTER_MODE_MISSING);
	uffd_copy(handler.fd, area + 4 * page_size(), 104);
	zero.range.start = (uintptr_t)(area + 7 * page_size());
	zero.range.len = page_size();
	check(ioctl(handler.fd, UFFDIO_ZEROPAGE, &zero) == 0, "UFFDIO_ZEROPAGE");
	handler.answer = answer;
	uffd_serve(&handler);
	check(pattern_holds(area + 9 * page_size(), page_size(), 109) && handler.reported == 1, "the handler works");

	test_daemon();
	test_waitsig();

	for (size_t i = 0; i < PAGES; i++) {
		char *page = area + i * page_size();

		absent += i != 0 && i != 4 && i != 7 && i != 9;
		check(i == 7 ? all_zero(page, page_size()) : pattern_holds(page, page_size(), 100 + i),
		      "page %zu has changed", i);
		check(handler.reported == 1 + absent, "%u faults at page %zu", handler.reported, i);
	}
	return pass();
}
