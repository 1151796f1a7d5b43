/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* PROT_NONE, execute only and write only areas hold data that nobody can read until the protection changes. */
#include "zdtm.h"

#include <setjmp.h>

static const int protections[] = { PROT_NONE, PROT_EXEC, PROT_WRITE, PROT_READ };
static sigjmp_buf back;

static void on_fault(int signal)
{
	siglongjmp(back, signal);
}

static bool faults(volatile char *address, bool write)
{
	if (sigsetjmp(back, 1))
		return true;
	if (write)
		*address = 1;
	else
		(void)*address;
	return false;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_fault };
	char *areas[ARRAY_SIZE(protections)];
	size_t size;

	test_init(argc, argv);
	size = 5 * page_size();
	check(sigaction(SIGSEGV, &action, NULL) == 0, "sigaction");
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
		areas[i] = map_pages(5);
		pattern_fill(areas[i], size, i);
		check(mprotect(areas[i], size, protections[i]) == 0, "mprotect");
	}
	test_daemon();
	test_waitsig();
	check(faults(areas[0], false) && faults(areas[0], true), "PROT_NONE does not fault");
	check(faults(areas[1], true) && faults(areas[3], true), "an area has become writable");
	check(!faults(areas[3], false), "an area is not readable");
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
		check(mprotect(areas[i], size, PROT_READ) == 0, "mprotect");
		check(pattern_holds(areas[i], size, i), "area %zu has changed", i);
	}
	return pass();
}
