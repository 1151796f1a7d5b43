/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * 48 MiB each, written as a whole: with a hole of one page, which takes no memory afterwards, and with
 * MADV_NOHUGEPAGE, which gets no huge pages.
 */
#include "zdtm.h"

static const size_t size = 48 << 20, hole = 21 << 20;

/* AnonHugePages of the mapping that starts at the address, in KiB; -1 if there is none. */
static long huge_kilobytes(const void *address)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	unsigned long start, end;
	bool inside = false;
	long found = -1;
	char line[512];

	check(smaps, "smaps");
	while (found < 0 && fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx", &start, &end) == 2)
			inside = start == (uintptr_t)address;
		else if (inside)
			sscanf(line, "AnonHugePages: %ld", &found);
	}
	fclose(smaps);
	return found;
}

int main(int argc, char **argv)
{
	unsigned char resident = 0;
	char *holed, *small;

	test_init(argc, argv);
	holed = map_pages(size / page_size());
	small = map_pages(size / page_size());
	check(madvise(small, size, MADV_NOHUGEPAGE) == 0, "madvise");
	pattern_fill(holed, size, 1);
	pattern_fill(small, size, 2);
	check(madvise(holed + hole, page_size(), MADV_DONTNEED) == 0, "madvise");
	test_daemon();
	test_waitsig();
	check(mincore(holed + hole, page_size(), &resident) == 0 && !(resident & 1), "the hole takes memory");
	check(all_zero(holed + hole, page_size()), "the hole is filled");
	check(pattern_holds(holed, hole, 1), "data before the hole has changed");
	pattern_fill(holed, size, 3);
	check(pattern_holds(small, size, 2), "data in small pages has changed");
	check(huge_kilobytes(small) == 0, "%ld KiB are in huge pages", huge_kilobytes(small));
	return pass();
}
