/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A deleted file with many pieces, some just written, and space that fallocate(2) has reserved between them. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { PIECES = 150, PIECE = 4096, EVERY = 5 * 4096 };

int main(int argc, char **argv)
{
	uint8_t memory[PIECE];
	struct stat status;
	int fd;

	test_init(argc, argv);
	fd = open(test_filename, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0 && unlink(test_filename) == 0, "open %s", test_filename);
	check(posix_fallocate(fd, 0, 20 * EVERY) == 0, "posix_fallocate");
	for (int i = 0; i < PIECES; i++) {
		pattern_fill(memory, PIECE, i);
		check(pwrite(fd, memory, PIECE, (off_t)i * EVERY) == PIECE, "write");
		check(i != PIECES / 2 || fsync(fd) == 0, "fsync");
	}
	check(ftruncate(fd, (off_t)PIECES * EVERY) == 0, "ftruncate");

	test_daemon();
	test_waitsig();

	check(fstat(fd, &status) == 0 && status.st_size == (off_t)PIECES * EVERY, "size is %jd", (intmax_t)status.st_size);
	for (int i = 0; i < PIECES; i++) {
		check(pread(fd, memory, PIECE, (off_t)i * EVERY) == PIECE && pattern_holds(memory, PIECE, i), "piece %d", i);
		check(pread(fd, memory, PIECE, (off_t)i * EVERY + 2 * PIECE) == PIECE && all_zero(memory, PIECE),
		      "what follows piece %d", i);
	}
	return pass();
}
