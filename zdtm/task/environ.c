/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The environment as the program and as /proc see it. */
#include "zdtm.h"

int main(int argc, char **argv)
{
	static char before[65536], after[65536];
	ssize_t length;

	test_init(argc, argv);
	check(setenv("ZDTM_ADDED", "added later", 1) == 0, "setenv");
	length = read_text("/proc/self/environ", before, sizeof(before));
	check(length > 0, "the environment is empty");
	test_daemon();
	test_waitsig();
	check(read_text("/proc/self/environ", after, sizeof(after)) == length, "/proc shows another length");
	check(!memcmp(before, after, length), "/proc shows another environment");
	check(getenv("ZDTM_ADDED") && !strcmp(getenv("ZDTM_ADDED"), "added later"), "the new variable is lost");
	for (char *entry = before; entry < before + length; entry += strlen(entry) + 1) {
		char *equals = strchr(entry, '=');

		if (!equals)
			continue;
		*equals = '\0';
		check(getenv(entry) && !strcmp(getenv(entry), equals + 1), "variable %s has changed", entry);
		*equals = '=';
	}
	return pass();
}
