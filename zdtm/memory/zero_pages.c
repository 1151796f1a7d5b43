/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* 64 MiB are read, which maps the zero page everywhere; one MiB of them is also written, with zeros. */
#include "zdtm.h"

static const size_t size = 64 << 20;

int main(int argc, char **argv)
{
	uint64_t sum = 0;
	char *area;

	test_init(argc, argv);
	area = map_pages(size / page_size());
	check(madvise(area, size, MADV_NOHUGEPAGE) == 0, "madvise");
	for (size_t i = 0; i < size; i += page_size())
		sum += ((volatile char *)area)[i];
	memset(area + size / 2, 0, size / 64);
	check(sum == 0, "fresh memory is not zero");
	test_daemon();
	test_waitsig();
	check(all_zero(area, size), "the area has changed");
	return pass();
}
