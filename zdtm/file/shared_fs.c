/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Two processes that share root, working directory and umask (CLONE_FS, clone(2)). */
#include "zdtm.h"

#include <limits.h>
#include <sched.h>
#include <sys/stat.h>

static int child(void)
{
	char path[PATH_MAX];

	/* clone(2) by number bypasses the library's fork hook, which closes the pipe to the launcher. */
	close_range(3, ~0u, 0);
	test_waitsig();
	check(getcwd(path, sizeof(path)) && !strcmp(path, test_dirname), "the child is in %s", path);
	check(chdir("inner") == 0, "chdir in the child");
	umask(0123);
	return 0;
}

int main(int argc, char **argv)
{
	char path[PATH_MAX], expected[PATH_MAX + 8];
	mode_t mask;
	pid_t pid;

	test_init(argc, argv);
	snprintf(expected, sizeof(expected), "%s/inner", test_dirname);
	check(mkdir(test_dirname, 0700) == 0 && mkdir(expected, 0700) == 0, "mkdir %s", expected);
	check(chdir(test_dirname) == 0, "chdir %s", test_dirname);
	umask(0345);
	pid = syscall(SYS_clone, SIGCHLD | CLONE_FS, NULL, NULL, NULL, NULL);
	check(pid >= 0, "clone");
	if (pid == 0)
		exit(child());

	test_daemon();
	test_waitsig();

	test_join(pid);
	check(getcwd(path, sizeof(path)) && !strcmp(path, expected), "the child's chdir is not seen: %s", path);
	mask = umask(0);
	check(mask == 0123, "the child's umask is not seen: %#o", mask);
	return pass();
}
