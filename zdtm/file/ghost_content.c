/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* An open file without a name: contents, offset, and everything inode(7) lists that a program can set. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#define SIZE 70001
#define OFFSET 333

int main(int argc, char **argv)
{
	/* The image format has microseconds. */
	static const struct timespec times[2] = { { 1000000001, 123456000 }, { 1234567890, 987654000 } };
	uint8_t *memory = malloc(SIZE);
	struct stat before, after;
	int fd;

	test_init(argc, argv);
	fd = open(test_filename, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0 && memory, "open %s", test_filename);
	pattern_fill(memory, SIZE, 6);
	check(write(fd, memory, SIZE) == SIZE && lseek(fd, OFFSET, SEEK_SET) == OFFSET, "write");
	check(fchmod(fd, 0461) == 0 && futimens(fd, times) == 0, "set attributes");
	check(fstat(fd, &before) == 0 && unlink(test_filename) == 0, "unlink");

	test_daemon();
	test_waitsig();

	check(fstat(fd, &after) == 0 && after.st_nlink == 0, "the file has a name");
	check(after.st_mode == before.st_mode, "mode is %#o, was %#o", after.st_mode, before.st_mode);
	check(after.st_uid == before.st_uid && after.st_gid == before.st_gid, "owner");
	check(after.st_size == SIZE, "size is %jd", (intmax_t)after.st_size);
	check(!memcmp(&after.st_mtim, &before.st_mtim, sizeof(before.st_mtim)), "modification time");
	check(!memcmp(&after.st_atim, &before.st_atim, sizeof(before.st_atim)), "access time");
	check(access(test_filename, F_OK) == -1 && errno == ENOENT, "%s has come back", test_filename);
	errno = 0;
	check(lseek(fd, 0, SEEK_CUR) == OFFSET, "offset is %jd", (intmax_t)lseek(fd, 0, SEEK_CUR));
	memset(memory, 0, SIZE);
	check(pread(fd, memory, SIZE, 0) == SIZE && pattern_holds(memory, SIZE, 6), "contents");
	check(pwrite(fd, "more", 4, SIZE) == 4, "write");
	return pass();
}
