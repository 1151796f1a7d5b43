/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A directory read halfway (getdents64(2)): after the restore the rest follows, nothing twice, nothing left out. */
#include "zdtm.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define FILES 120

static int seen[FILES];

/* Reads one small buffer of entries; returns how many of ours were in it, or -1 at the end. */
static int read_some(int fd)
{
	_Alignas(struct dirent64) char buffer[320];
	struct dirent64 *entry;
	long length;
	int index, count = 0;

	length = syscall(SYS_getdents64, fd, buffer, sizeof(buffer));
	check(length >= 0, "getdents64");
	if (length == 0)
		return -1;
	for (long at = 0; at < length; at += entry->d_reclen) {
		entry = (struct dirent64 *)(buffer + at);
		if (sscanf(entry->d_name, "entry-%d", &index) == 1 && index >= 0 && index < FILES) {
			seen[index]++;
			count++;
		}
	}
	return count;
}

int main(int argc, char **argv)
{
	char path[32];
	int fd, count = 0, some;

	test_init(argc, argv);
	check(mkdir(test_dirname, 0700) == 0, "mkdir %s", test_dirname);
	fd = open(test_dirname, O_RDONLY | O_DIRECTORY);
	check(fd >= 0 && fchdir(fd) == 0, "open %s", test_dirname);
	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "entry-%d", i);
		check(write_text(path, "") == 0, "create %s", path);
	}
	while (count < FILES / 2) {
		some = read_some(fd);
		check(some >= 0, "the directory ended early");
		count += some;
	}
	check(chdir("/") == 0, "chdir /");

	test_daemon();
	test_waitsig();

	while ((some = read_some(fd)) >= 0)
		count += some;
	check(count == FILES, "read %d entries of %d", count, FILES);
	for (int i = 0; i < FILES; i++)
		check(seen[i] == 1, "entry-%d was read %d times", i, seen[i]);
	return pass();
}
