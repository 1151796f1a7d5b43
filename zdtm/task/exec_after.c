/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A child executes /proc/self/exe, which says with its exit code that it does not know the option. */
#include "zdtm.h"

#include <limits.h>

int main(int argc, char **argv)
{
	char before[PATH_MAX], after[PATH_MAX];
	ssize_t length;
	int status;
	pid_t pid;

	test_init(argc, argv);
	length = readlink("/proc/self/exe", before, sizeof(before));
	check(length > 0, "readlink");
	test_daemon();
	test_waitsig();
	check(readlink("/proc/self/exe", after, sizeof(after)) == length && !memcmp(before, after, length), "exe is %s",
	      after);
	pid = fork();
	check(pid >= 0, "fork");
	if (pid == 0) {
		freopen("/dev/null", "w", stderr);
		execl("/proc/self/exe", argv[0], "--no-such-option", NULL);
		_exit(77);
	}
	check(waitpid(pid, &status, 0) == pid, "waitpid");
	check(WIFEXITED(status) && WEXITSTATUS(status) == 2, "the program ended with %#x", status);
	return pass();
}
