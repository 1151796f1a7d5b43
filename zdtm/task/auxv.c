/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* getauxval(3) reads the program's copy, /proc the kernel's. */
#include "zdtm.h"

#include <sys/auxv.h>

int main(int argc, char **argv)
{
	char before[2048], after[2048];
	unsigned long random, entry;
	ssize_t length;

	test_init(argc, argv);
	length = read_text("/proc/self/auxv", before, sizeof(before));
	check(length > 0, "no auxiliary vector");
	random = getauxval(AT_RANDOM);
	entry = getauxval(AT_ENTRY);
	check(random && entry, "no AT_RANDOM or AT_ENTRY");
	test_daemon();
	test_waitsig();
	check(read_text("/proc/self/auxv", after, sizeof(after)) == length, "the vector has another length");
	check(!memcmp(before, after, length), "the vector has changed");
	check(getauxval(AT_RANDOM) == random && getauxval(AT_ENTRY) == entry, "the program's copy has changed");
	return pass();
}
