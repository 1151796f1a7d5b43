/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What daemons do to be told apart in ps(1): PR_SET_NAME, and new text where the arguments were. */
#include "zdtm.h"

#include <sys/prctl.h>

int main(int argc, char **argv)
{
	char before[4096], after[4096], comm[32];
	ssize_t length;

	test_init(argc, argv);
	check(prctl(PR_SET_NAME, "new) name S 1") == 0, "PR_SET_NAME");
	for (int i = 0; i < argc; i++)
		memset(argv[i], 'a' + i, strlen(argv[i]));
	length = read_text("/proc/self/cmdline", before, sizeof(before));
	check(length > 0 && before[0] == 'a', "the command line cannot be changed");
	test_daemon();
	test_waitsig();
	check(read_text("/proc/self/cmdline", after, sizeof(after)) == length, "the command line has another length");
	check(!memcmp(before, after, length), "the command line is %s", after);
	check(prctl(PR_GET_NAME, comm) == 0 && !strcmp(comm, "new) name S 1"), "the name is %s", comm);
	return pass();
}
