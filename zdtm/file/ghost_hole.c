/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A deleted sparse file: data at the start and in the middle, holes between and after, and no more room taken. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

#define CHUNK (64 * 1024) /* the largest page: the page cache tells of data by pages */
#define MIDDLE (300 * 1024 * 1024L)
#define SIZE (600 * 1024 * 1024L)

int main(int argc, char **argv)
{
	static uint8_t memory[CHUNK];
	struct stat before, after;
	off_t at;
	int fd;

	test_init(argc, argv);
	fd = open(test_filename, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0, "open %s", test_filename);
	pattern_fill(memory, CHUNK, 7);
	check(pwrite(fd, memory, CHUNK, 0) == CHUNK && pwrite(fd, memory, CHUNK, MIDDLE) == CHUNK, "write");
	check(ftruncate(fd, SIZE) == 0 && unlink(test_filename) == 0 && fsync(fd) == 0, "truncate and unlink");
	check(fstat(fd, &before) == 0, "fstat");

	test_daemon();
	test_waitsig();

	check(fsync(fd) == 0 && fstat(fd, &after) == 0, "fstat");
	check(after.st_size == SIZE && after.st_nlink == 0, "size is %jd", (intmax_t)after.st_size);
	check(after.st_blocks <= 2 * before.st_blocks + 128, "%jd blocks, were %jd", (intmax_t)after.st_blocks,
	      (intmax_t)before.st_blocks);
	at = lseek(fd, CHUNK, SEEK_DATA);
	check(at > CHUNK && at <= MIDDLE, "data at %jd", (intmax_t)at);
	check(pread(fd, memory, CHUNK, 0) == CHUNK && pattern_holds(memory, CHUNK, 7), "the first data");
	check(pread(fd, memory, CHUNK, MIDDLE) == CHUNK && pattern_holds(memory, CHUNK, 7), "the data in the middle");
	check(pread(fd, memory, CHUNK, MIDDLE - CHUNK) == CHUNK && all_zero(memory, CHUNK), "the hole before it");
	check(pread(fd, memory, CHUNK, SIZE - CHUNK) == CHUNK && all_zero(memory, CHUNK), "the hole at the end");
	return pass();
}
