/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* With UFFD_FEATURE_WP_ASYNC (Linux 6.7) nobody reads of writes: the page map shows which pages have been written to. */
#include "userfaultfd.h"

enum { PAGES = 12, FEATURE_WP_ASYNC = 1 << 15, CATEGORY_WRITTEN = 1 << 1 };

/* struct pm_scan_arg and struct page_region of linux/fs.h. */
struct scan {
	uint64_t size, flags, start, end, walk_end, regions, regions_len, most, inverted, all, any, returned;
};

/* A bit for each page that was written to. */
static unsigned written(int pagemap, char *area)
{
	uint64_t regions[PAGES][3];
	struct scan scan = {
		.size = sizeof(scan),
		.start = (uintptr_t)area,
		.end = (uintptr_t)area + PAGES * page_size(),
		.regions = (uintptr_t)regions,
		.regions_len = PAGES,
		.all = CATEGORY_WRITTEN,
		.returned = CATEGORY_WRITTEN,
	};
	int found = ioctl(pagemap, _IOWR('f', 16, struct scan), &scan);
	unsigned pages = 0;

	check(found >= 0, "PAGEMAP_SCAN");
	for (int i = 0; i < found; i++)
		for (uint64_t at = regions[i][0]; at < regions[i][1]; at += page_size())
			pages |= 1U << (at - (uintptr_t)area) / page_size();
	return pages;
}

int main(int argc, char **argv)
{
	int pagemap, uffd;
	char *area;

	test_init(argc, argv);
	area = map_pages(PAGES);
	pattern_fill(area, PAGES / 2 * page_size(), 1);
	pagemap = open("/proc/self/pagemap", O_RDONLY);
	check(pagemap >= 0, "open");
	uffd = uffd_new(FEATURE_WP_ASYNC);
	uffd_register(uffd, area, PAGES, UFFDIO_REGISTER_MODE_WP);
	uffd_protect(uffd, area, PAGES, true);
	area[1 * page_size()] = 1;
	area[8 * page_size()] = 1;
	check(written(pagemap, area) == 0x102, "the writes are recorded");

	test_daemon();
	test_waitsig();

	check(written(pagemap, area) == 0x102, "written are %#x", written(pagemap, area));
	area[2 * page_size()] = 1;
	area[9 * page_size()] = 1;
	check(written(pagemap, area) == 0x306, "written are %#x, too", written(pagemap, area));
	return pass();
}
