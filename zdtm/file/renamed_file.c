/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* An open file that has been renamed, and one in a directory that has been renamed: the inode counts, not the name. */
#include "zdtm.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

static void check_path(int fd, const char *name)
{
	char link[64], target[PATH_MAX], expected[PATH_MAX + 16];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	snprintf(expected, sizeof(expected), "%s/%s", test_dirname, name);
	length = readlink(link, target, sizeof(target) - 1);
	check(length > 0, "readlink %s", link);
	target[length] = '\0';
	check(!strcmp(target, expected), "fd %d is %s", fd, target);
}

int main(int argc, char **argv)
{
	struct stat before[2], after;
	int fds[2];

	test_init(argc, argv);
	check(mkdir(test_dirname, 0700) == 0 && chdir(test_dirname) == 0 && mkdir("old", 0700) == 0, "mkdir");
	fds[0] = open("before", O_RDWR | O_CREAT, 0600);
	fds[1] = open("old/file", O_RDWR | O_CREAT, 0600);
	for (int i = 0; i < 2; i++)
		check(fds[i] >= 0 && write(fds[i], "abcdef", 5 + i) == 5 + i && fstat(fds[i], &before[i]) == 0,
		      "create");
	check(rename("before", "after") == 0 && rename("old", "new") == 0 && chdir("/") == 0, "rename");

	test_daemon();
	test_waitsig();

	check_path(fds[0], "after");
	check_path(fds[1], "new/file");
	for (int i = 0; i < 2; i++) {
		check(fstat(fds[i], &after) == 0 && after.st_ino == before[i].st_ino, "fd %d is another file", fds[i]);
		check(lseek(fds[i], 0, SEEK_CUR) == 5 + i, "offset of fd %d", fds[i]);
	}
	return pass();
}
