/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A deleted file whose directory, and the directory above, are deleted as well; nothing of them comes back. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	struct stat status;
	char text[16];
	int fd;

	test_init(argc, argv);
	check(mkdir(test_dirname, 0700) == 0 && chdir(test_dirname) == 0 && mkdir("inner", 0700) == 0, "mkdir");
	fd = open("inner/file", O_RDWR | O_CREAT, 0600);
	check(fd >= 0 && write(fd, "contents", 8) == 8, "create the file");
	check(unlink("inner/file") == 0 && rmdir("inner") == 0, "remove the file");
	check(chdir("/") == 0 && rmdir(test_dirname) == 0, "remove %s", test_dirname);

	test_daemon();
	test_waitsig();

	check(fstat(fd, &status) == 0 && status.st_nlink == 0, "%ju links", (uintmax_t)status.st_nlink);
	check(pread(fd, text, sizeof(text), 0) == 8 && !memcmp(text, "contents", 8), "contents");
	check(lseek(fd, 0, SEEK_CUR) == 8, "offset");
	check(access(test_dirname, F_OK) == -1 && errno == ENOENT, "%s has come back", test_dirname);
	return pass();
}
