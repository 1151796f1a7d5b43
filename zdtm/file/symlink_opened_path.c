/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A file opened through a symbolic link (symlink(7)) that has since been turned to another file, or removed. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

static void check_contents(int fd, const char *expected)
{
	char text[16] = "";

	check(lseek(fd, 0, SEEK_CUR) == 1, "offset of fd %d", fd);
	check(pread(fd, text, sizeof(text) - 1, 0) > 0 && !strcmp(text, expected), "fd %d reads '%s'", fd, text);
}

int main(int argc, char **argv)
{
	int turned, removed;

	test_init(argc, argv);
	check(mkdir(test_dirname, 0700) == 0 && chdir(test_dirname) == 0, "mkdir %s", test_dirname);
	check(write_text("one", "first") == 0 && write_text("two", "second") == 0, "create files");
	check(symlink("one", "turned") == 0 && symlink("two", "removed") == 0, "symlink");
	turned = open("turned", O_RDONLY);
	removed = open("removed", O_RDONLY);
	check(turned >= 0 && removed >= 0 && lseek(turned, 1, SEEK_SET) == 1 && lseek(removed, 1, SEEK_SET) == 1,
	      "open");
	check(unlink("turned") == 0 && symlink("two", "turned") == 0 && unlink("removed") == 0, "turn the link");
	check(chdir("/") == 0, "chdir");

	test_daemon();
	test_waitsig();

	check_contents(turned, "first");
	check_contents(removed, "second");
	return pass();
}
