/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A deleted file with data beyond 4 GiB, open and mapped: a position of 32 bits does not reach there. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

#define CHUNK 8192
#define FAR (4608LL * 1024 * 1024)

int main(int argc, char **argv)
{
	uint8_t memory[CHUNK];
	struct stat64 status;
	int fd;

	test_init(argc, argv);
	fd = open64(test_filename, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0, "open %s", test_filename);
	pattern_fill(memory, CHUNK, 8);
	check(pwrite64(fd, memory, CHUNK, FAR) == CHUNK, "write");
	check(unlink(test_filename) == 0, "unlink");
	uint8_t *mapped = mmap64(NULL, CHUNK, PROT_READ, MAP_SHARED, fd, FAR);
	check(mapped != MAP_FAILED, "mmap");

	test_daemon();
	test_waitsig();

	check(fstat64(fd, &status) == 0 && status.st_size == FAR + CHUNK && status.st_nlink == 0, "size is %jd",
	      (intmax_t)status.st_size);
	check(pattern_holds(mapped, CHUNK, 8), "the mapping");
	check(pread64(fd, memory, CHUNK, FAR) == CHUNK && pattern_holds(memory, CHUNK, 8), "the data");
	check(pread64(fd, memory, CHUNK, FAR - CHUNK) == CHUNK && all_zero(memory, CHUNK), "the hole before it");
	return pass();
}
