/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Readable, writable and executable areas; of each only every second or third page was ever written. */
#include "zdtm.h"

enum { PAGES = 50 };

static const int protections[] = { PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC,
				   PROT_READ | PROT_WRITE | PROT_EXEC };

int main(int argc, char **argv)
{
	char *areas[ARRAY_SIZE(protections)];
	size_t page;

	test_init(argc, argv);
	page = page_size();
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
		areas[i] = map_pages(PAGES);
		for (size_t p = 0; p < PAGES; p += i + 1)
			pattern_fill(areas[i] + p * page, page, 100 * i + p);
		check(mprotect(areas[i], PAGES * page, protections[i]) == 0, "mprotect");
	}
	test_daemon();
	test_waitsig();
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
		for (size_t p = 0; p < PAGES; p++) {
			const bool written = p % (i + 1) == 0;
			char *at = areas[i] + p * page;

			check(written ? pattern_holds(at, page, 100 * i + p) : all_zero(at, page),
			      "page %zu of area %zu has changed", p, i);
		}
	}
	return pass();
}
