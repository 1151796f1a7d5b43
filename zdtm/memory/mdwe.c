/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* PR_SET_MDWE (PR_SET_MDWE(2const)): memory that was writable can never become executable, not even after a restore. */
#include "zdtm.h"

#include <sys/prctl.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

static void verify(void *area)
{
	check(prctl(PR_GET_MDWE, 0, 0, 0, 0) == PR_MDWE_REFUSE_EXEC_GAIN, "PR_GET_MDWE");
	check(mprotect(area, page_size(), PROT_READ | PROT_EXEC) == -1 && errno == EACCES, "memory has become executable");
	errno = 0;
}

int main(int argc, char **argv)
{
	void *area, *code;

	test_init(argc, argv);
	area = map_pages(1);
	/* What was executable before stays so. */
	code = mmap(NULL, page_size(), PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(code != MAP_FAILED, "mmap");
	pattern_fill(code, page_size(), 3);
	check(prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0, "PR_SET_MDWE");
	verify(area);
	test_daemon();
	test_waitsig();
	verify(area);
	check(pattern_holds(code, page_size(), 3), "the code has changed");
	return pass();
}
