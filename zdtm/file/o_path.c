/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * O_PATH descriptors (open(2)) of a file, a directory and a symbolic link: they name the same inodes, refuse I/O,
 * and still serve as the start of path look-ups.
 */
#include "zdtm.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

static const char *const names[] = { "file", ".", "link" };

int main(int argc, char **argv)
{
	struct stat before[ARRAY_SIZE(names)], after;
	int fds[ARRAY_SIZE(names)], flags[ARRAY_SIZE(names)];
	char path[64], text[16] = "";
	int fd;

	test_init(argc, argv);
	check(mkdir(test_dirname, 0700) == 0 && chdir(test_dirname) == 0, "mkdir %s", test_dirname);
	check(write_text("file", "contents") == 0 && symlink("file", "link") == 0, "create files");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		fds[i] = open(names[i], O_PATH | O_NOFOLLOW);
		check(fds[i] >= 0 && fstat(fds[i], &before[i]) == 0, "open %s", names[i]);
		flags[i] = fcntl(fds[i], F_GETFL);
	}
	check(chdir("/") == 0, "chdir /");

	test_daemon();
	test_waitsig();

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		check(fcntl(fds[i], F_GETFL) == flags[i], "flags of %s", names[i]);
		check(fstat(fds[i], &after) == 0, "fstat %s", names[i]);
		check(after.st_ino == before[i].st_ino && after.st_mode == before[i].st_mode, "inode of %s", names[i]);
		check(read(fds[i], text, 1) == -1 && errno == EBADF, "%s can be read", names[i]);
		errno = 0;
	}
	check(readlinkat(fds[2], "", text, sizeof(text)) == 4 && !memcmp(text, "file", 4), "the link reads '%s'", text);
	fd = openat(fds[1], "file", O_RDONLY);
	check(fd >= 0 && read(fd, text, sizeof(text)) == 8 && !memcmp(text, "contents", 8),
	      "look-up from the directory");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	check(read_text(path, text, sizeof(text)) == 8 && !strcmp(text, "contents"), "open %s", path);
	return pass();
}
