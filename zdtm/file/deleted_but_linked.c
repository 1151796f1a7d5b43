/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A file opened by a name that is gone while another hard link remains (link(2)): it must stay that file, not
 * become a copy, and a restore takes the helper's name away.
 */
#include "zdtm.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

static int count_entries(void)
{
	DIR *directory = opendir(test_dirname);
	struct dirent *entry;
	int count = 0;

	check(directory, "open %s", test_dirname);
	while ((entry = readdir(directory)))
		/* After --leave-running the name that the dump has made waits for a restore. */
		count += entry->d_name[0] != '.' && strncmp(entry->d_name, "link_remap.", 11);
	closedir(directory);
	return count;
}

int main(int argc, char **argv)
{
	struct stat before, after;
	char text[32];
	int fd;

	test_init(argc, argv);
	check(mkdir(test_dirname, 0700) == 0 && chdir(test_dirname) == 0, "mkdir %s", test_dirname);
	fd = open("opened", O_RDWR | O_CREAT, 0600);
	check(fd >= 0 && write(fd, "contents", 8) == 8, "create");
	check(link("opened", "other") == 0 && unlink("opened") == 0, "link and unlink");
	check(fstat(fd, &before) == 0 && before.st_nlink == 1, "fstat");

	test_daemon();
	test_waitsig();

	check(fstat(fd, &after) == 0 && after.st_ino == before.st_ino, "the descriptor is of another inode");
	check(after.st_nlink <= 2 && count_entries() == 1, "%ju links, %d names", (uintmax_t)after.st_nlink,
	      count_entries());
	check(write(fd, "+more", 5) == 5, "write");
	check(read_text("other", text, sizeof(text)) == 13 && !strcmp(text, "contents+more"), "other holds '%s'", text);
	check(access("opened", F_OK) == -1 && errno == ENOENT, "the deleted name has come back");
	return pass();
}
