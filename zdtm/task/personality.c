/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Flags of personality(2) that a later exec would inherit. */
#include "zdtm.h"

#include <sys/personality.h>

int main(int argc, char **argv)
{
	const unsigned long chosen = ADDR_NO_RANDOMIZE | STICKY_TIMEOUTS | UNAME26;

	test_init(argc, argv);
	check(personality(chosen) != -1, "personality");
	test_daemon();
	test_waitsig();
	check((unsigned int)personality(0xffffffff) == chosen, "flags are %#x", personality(0xffffffff));
	return pass();
}
