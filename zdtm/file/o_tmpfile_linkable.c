/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A nameless file that was opened with O_TMPFILE but without O_EXCL can still be given a name (open(2), linkat(2)). */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	struct stat status;
	char path[64], text[16];
	int fd;

	test_init(argc, argv);
	check(mkdir(test_dirname, 0700) == 0, "mkdir %s", test_dirname);
	fd = open(test_dirname, O_TMPFILE | O_RDWR, 0640);
	check(fd >= 0 && write(fd, "contents", 8) == 8, "open with O_TMPFILE in %s", test_dirname);

	test_daemon();
	test_waitsig();

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	check(linkat(AT_FDCWD, path, AT_FDCWD, test_filename, AT_SYMLINK_FOLLOW) == 0, "linkat");
	check(stat(test_filename, &status) == 0 && status.st_nlink == 1, "the new name");
	check(read_text(test_filename, text, sizeof(text)) == 8 && !strcmp(text, "contents"), "contents");
	return pass();
}
