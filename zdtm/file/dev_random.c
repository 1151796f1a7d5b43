/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The devices random and urandom (random(4)) still give bytes, and not the same ones twice. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define SIZE 32

int main(int argc, char **argv)
{
	static const char *const paths[] = { "/dev/random", "/dev/urandom" };
	uint8_t before[2][SIZE], after[2][SIZE];
	struct stat status;
	int fds[2];

	test_init(argc, argv);
	for (size_t i = 0; i < 2; i++) {
		fds[i] = open(paths[i], O_RDONLY | O_NONBLOCK);
		check(fds[i] >= 0 && read(fds[i], before[i], SIZE) == SIZE, "read %s", paths[i]);
	}

	test_daemon();
	test_waitsig();

	for (size_t i = 0; i < 2; i++) {
		check(fstat(fds[i], &status) == 0 && status.st_rdev == makedev(1, 8 + i), "fd of %s", paths[i]);
		check(fcntl(fds[i], F_GETFL) & O_NONBLOCK, "flags of %s", paths[i]);
		check(read(fds[i], after[i], SIZE) == SIZE, "read %s", paths[i]);
		check(memcmp(before[i], after[i], SIZE), "%s repeats itself", paths[i]);
	}
	return pass();
}
