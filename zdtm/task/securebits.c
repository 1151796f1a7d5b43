/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The flags that take root's special treatment away, some of them locked. */
#include "zdtm.h"

#include <linux/securebits.h>
#include <sys/prctl.h>

int main(int argc, char **argv)
{
	const int chosen = SECBIT_NOROOT | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS;
	int now;

	test_init(argc, argv);
	check(prctl(PR_SET_SECUREBITS, chosen) == 0, "PR_SET_SECUREBITS");
	test_daemon();
	test_waitsig();
	now = prctl(PR_GET_SECUREBITS);
	check(now == chosen, "securebits are %#x, expected %#x", now, chosen);
	return pass();
}
