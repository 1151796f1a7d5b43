/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Files of a mounted hugetlbfs: a named one with a shared mapping, and a deleted one with a hole. */
#include "zdtm.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/mount.h>
#include <sys/stat.h>

static int make(const char *name, off_t size)
{
	char path[PATH_MAX];
	int fd;

	check(snprintf(path, sizeof(path), "%s/%s", test_dirname, name) < (int)sizeof(path), "a long path");
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0640);
	check(fd >= 0 && ftruncate(fd, size) == 0, "%s", path);
	check(strcmp(name, "deleted") || unlink(path) == 0, "unlink %s", path);
	return fd;
}

int main(int argc, char **argv)
{
	struct stat status;
	char *named, *deleted;
	int fd, gone;
	size_t size;

	test_init(argc, argv);
	size = huge_pages(3);
	check(mkdir(test_dirname, 0700) == 0 && mount("test", test_dirname, "hugetlbfs", 0, NULL) == 0, "mount");
	fd = make("named", size);
	gone = make("deleted", 2 * size);
	named = mmap(huge_place(size, 1), size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	deleted = mmap(huge_place(size, 2), 2 * size, PROT_READ | PROT_WRITE, MAP_SHARED, gone, 0);
	check(named != MAP_FAILED && deleted != MAP_FAILED, "mmap");
	pattern_fill(named, size, 1);
	pattern_fill(deleted + size, size, 2);

	test_daemon();
	test_waitsig();

	check(pattern_holds(named, size, 1), "the named file has changed");
	check(fstat(gone, &status) == 0 && status.st_nlink == 0 && (size_t)status.st_size == 2 * size, "fstat");
	check((size_t)status.st_blocks * 512 == size, "it takes %lld blocks", (long long)status.st_blocks);
	check(pattern_holds(deleted + size, size, 2) && all_zero(deleted, size), "the deleted file has changed");
	check(munmap(named, size) == 0 && munmap(deleted, 2 * size) == 0 && close(fd) == 0 && close(gone) == 0, "close");
	check(umount(test_dirname) == 0, "umount");
	return pass();
}
