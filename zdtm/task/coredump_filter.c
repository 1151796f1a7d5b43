/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The bits of coredump_filter, see core(5). */
#include "zdtm.h"

int main(int argc, char **argv)
{
	char text[32];

	test_init(argc, argv);
	check(write_text("/proc/self/coredump_filter", "0x5b") == 0, "write coredump_filter");
	test_daemon();
	test_waitsig();
	check(read_text("/proc/self/coredump_filter", text, sizeof(text)) > 0, "read coredump_filter");
	check(strtoul(text, NULL, 16) == 0x5b, "the filter is %s", text);
	return pass();
}
