/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A working directory in /proc of a task that is gone: nothing can be looked up in it, and it has no path. */
#include "zdtm.h"

#include <limits.h>

int main(int argc, char **argv)
{
	char path[PATH_MAX], before[PATH_MAX] = "", after[PATH_MAX] = "";
	pid_t pid;

	test_init(argc, argv);
	pid = fork();
	check(pid >= 0, "fork");
	if (pid == 0) {
		pause();
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/%d", pid);
	check(chdir(path) == 0, "chdir %s", path);
	check(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid, "kill");
	check(readlink("/proc/self/cwd", before, sizeof(before) - 1) > 0, "readlink");

	test_daemon();
	test_waitsig();

	check(readlink("/proc/self/cwd", after, sizeof(after) - 1) > 0, "readlink");
	check(!strcmp(before, after), "the directory was %s and is %s", before, after);
	check(!getcwd(path, sizeof(path)) && errno == ENOENT, "the directory has a path: %s", path);
	check(access("status", R_OK) == -1, "the task is back");
	errno = 0;
	check(kill(pid, 0) == -1 && errno == ESRCH, "pid %d is alive again", pid);
	return pass();
}
