/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* One inode opened through two hard links, both deleted: still one inode, two descriptions (link(2)). */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	struct stat first_status, second_status;
	char text[16];
	int first, second;

	test_init(argc, argv);
	check(mkdir(test_dirname, 0700) == 0 && chdir(test_dirname) == 0, "mkdir %s", test_dirname);
	first = open("first", O_RDWR | O_CREAT, 0600);
	check(first >= 0 && link("first", "second") == 0, "create and link");
	second = open("second", O_RDWR | O_APPEND);
	check(second >= 0 && write(first, "contents", 8) == 8, "open and write");
	check(unlink("first") == 0 && unlink("second") == 0 && chdir("/") == 0, "unlink");

	test_daemon();
	test_waitsig();

	check(fstat(first, &first_status) == 0 && fstat(second, &second_status) == 0, "fstat");
	check(first_status.st_ino == second_status.st_ino && first_status.st_dev == second_status.st_dev,
	      "there are two inodes now");
	check(first_status.st_nlink == 0, "%ju links", (uintmax_t)first_status.st_nlink);
	check(lseek(first, 0, SEEK_CUR) == 8 && lseek(second, 0, SEEK_CUR) == 0, "offsets");
	check(write(second, "+new", 4) == 4 && pread(first, text, sizeof(text), 0) == 12, "write");
	check(!memcmp(text, "contents+new", 12), "contents");
	check(rmdir(test_dirname) == 0, "something is left in %s", test_dirname);
	return pass();
}
