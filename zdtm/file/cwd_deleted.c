/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A working directory that has been removed: it has no path, no links and takes no new files (getcwd(3), rmdir(2)). */
#include "zdtm.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

static void check_gone(void)
{
	char path[PATH_MAX];
	struct stat status;

	check(!getcwd(path, sizeof(path)) && errno == ENOENT, "getcwd says %s", path);
	check(open("new", O_CREAT | O_WRONLY, 0600) == -1 && errno == ENOENT, "a file can be created");
	errno = 0;
	check(stat(".", &status) == 0, "stat");
	check(status.st_nlink == 0, "the directory has %ju links", (uintmax_t)status.st_nlink);
	check(S_ISDIR(status.st_mode) && (status.st_mode & 07777) == 0750, "mode is %#o", status.st_mode);
}

int main(int argc, char **argv)
{
	test_init(argc, argv);
	check(mkdir(test_dirname, 0700) == 0 && chmod(test_dirname, 0750) == 0, "mkdir %s", test_dirname);
	check(chdir(test_dirname) == 0 && rmdir(test_dirname) == 0, "rmdir %s", test_dirname);
	check_gone();

	test_daemon();
	test_waitsig();

	check_gone();
	check(access(test_dirname, F_OK) == -1 && errno == ENOENT, "%s has come back", test_dirname);
	return pass();
}
