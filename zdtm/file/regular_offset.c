/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The offset of an open file, not a multiple of anything, and the bytes that follow it (lseek(2)). */
#include "zdtm.h"

#include <fcntl.h>

#define SIZE 9001
#define OFFSET 1237

int main(int argc, char **argv)
{
	uint8_t written[SIZE], got[SIZE];
	ssize_t length;
	int fd;

	test_init(argc, argv);
	fd = open(test_filename, O_RDWR | O_CREAT | O_EXCL, 0640);
	check(fd >= 0, "open %s", test_filename);
	pattern_fill(written, SIZE, 1);
	check(write(fd, written, SIZE) == SIZE, "write");
	check(lseek(fd, OFFSET - 100, SEEK_SET) == OFFSET - 100, "lseek");
	check(read(fd, got, 100) == 100, "read");

	test_daemon();
	test_waitsig();

	check(lseek(fd, 0, SEEK_CUR) == OFFSET, "offset is %jd", (intmax_t)lseek(fd, 0, SEEK_CUR));
	length = read(fd, got, SIZE);
	check(length == SIZE - OFFSET, "read %zd bytes, expected %d", length, SIZE - OFFSET);
	check(!memcmp(got, written + OFFSET, length), "the bytes after the offset differ");
	check(lseek(fd, OFFSET, SEEK_SET) == OFFSET && write(fd, "new", 3) == 3, "write after restore");
	check(pread(fd, got, SIZE, 0) == SIZE, "pread");
	memcpy(written + OFFSET, "new", 3);
	check(!memcmp(got, written, SIZE), "the file differs");
	return pass();
}
