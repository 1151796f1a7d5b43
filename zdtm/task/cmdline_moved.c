/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The argument and environment areas of /proc lie in a mapping of the program's own. */
#include "zdtm.h"

#include <sys/prctl.h>

static void point(int which, const void *address)
{
	check(prctl(PR_SET_MM, which, address, 0, 0) == 0, "PR_SET_MM %d", which);
}

int main(int argc, char **argv)
{
	static const char arguments[] = "moved\0arguments", environment[] = "A=1\0B=two";
	char *area, text[128];

	test_init(argc, argv);
	/* A start may not pass its end: the new area must lie above the old one when the end goes first. */
	area = mmap(argv[0] + (64 << 20), page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED || area < argv[0])
		area = sbrk(page_size());
	memcpy(area, arguments, sizeof(arguments));
	memcpy(area + 64, environment, sizeof(environment));
	if (area < argv[0]) {
		point(PR_SET_MM_ARG_START, area);
		point(PR_SET_MM_ARG_END, area + sizeof(arguments));
		point(PR_SET_MM_ENV_START, area + 64);
		point(PR_SET_MM_ENV_END, area + 64 + sizeof(environment));
	} else {
		point(PR_SET_MM_ARG_END, area + sizeof(arguments));
		point(PR_SET_MM_ARG_START, area);
		point(PR_SET_MM_ENV_END, area + 64 + sizeof(environment));
		point(PR_SET_MM_ENV_START, area + 64);
	}
	test_daemon();
	test_waitsig();
	check(read_text("/proc/self/cmdline", text, sizeof(text)) == sizeof(arguments), "length of the arguments");
	check(!memcmp(text, arguments, sizeof(arguments)), "the arguments are %s", text);
	check(read_text("/proc/self/environ", text, sizeof(text)) == sizeof(environment), "length of the environment");
	check(!memcmp(text, environment, sizeof(environment)), "the environment is %s", text);
	return pass();
}
