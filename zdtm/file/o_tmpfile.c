/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A nameless file made with O_TMPFILE (open(2)): contents, offset and mode, and no name. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

#define SIZE 5000
#define OFFSET 777

int main(int argc, char **argv)
{
	uint8_t memory[SIZE];
	struct stat status;
	int fd;

	test_init(argc, argv);
	check(mkdir(test_dirname, 0700) == 0, "mkdir %s", test_dirname);
	fd = open(test_dirname, O_TMPFILE | O_RDWR, 0640);
	check(fd >= 0, "open with O_TMPFILE in %s", test_dirname);
	pattern_fill(memory, SIZE, 2);
	check(write(fd, memory, SIZE) == SIZE && lseek(fd, OFFSET, SEEK_SET) == OFFSET, "write");

	test_daemon();
	test_waitsig();

	check(lseek(fd, 0, SEEK_CUR) == OFFSET, "offset is %jd", (intmax_t)lseek(fd, 0, SEEK_CUR));
	check(fstat(fd, &status) == 0, "fstat");
	check(status.st_nlink == 0, "the file has %ju links", (uintmax_t)status.st_nlink);
	check(status.st_size == SIZE && status.st_mode == (S_IFREG | 0640), "size or mode changed");
	check(pread(fd, memory, SIZE, 0) == SIZE && pattern_holds(memory, SIZE, 2), "contents");
	return pass();
}
