/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* An open directory that has been removed: no entries, no links, no new ones (rmdir(2)). */
#include "zdtm.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	_Alignas(struct dirent64) char buffer[512];
	struct stat status;
	int fd;

	test_init(argc, argv);
	check(mkdir(test_dirname, 0700) == 0 && chmod(test_dirname, 0715) == 0, "mkdir %s", test_dirname);
	fd = open(test_dirname, O_RDONLY | O_DIRECTORY);
	check(fd >= 0 && rmdir(test_dirname) == 0, "open and rmdir");

	test_daemon();
	test_waitsig();

	check(fstat(fd, &status) == 0 && status.st_nlink == 0, "%ju links", (uintmax_t)status.st_nlink);
	check(status.st_mode == (S_IFDIR | 0715), "mode is %#o", status.st_mode);
	check(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)) <= 0, "the directory has entries");
	check(openat(fd, "new", O_CREAT | O_WRONLY, 0600) == -1 && errno == ENOENT, "a file can be created");
	errno = 0;
	check(fchdir(fd) == 0, "fchdir");
	check(access(test_dirname, F_OK) == -1 && errno == ENOENT, "%s has come back", test_dirname);
	return pass();
}
