/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Flags of open directories, O_DIRECTORY among them (open(2), F_GETFL), and two offsets in one directory. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

static const int wanted[] = { O_RDONLY, O_RDONLY | O_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOATIME | O_NONBLOCK };

int main(int argc, char **argv)
{
	int fds[ARRAY_SIZE(wanted)], flags[ARRAY_SIZE(wanted)];
	struct stat before, after;

	test_init(argc, argv);
	check(mkdir(test_dirname, 0700) == 0 && stat(test_dirname, &before) == 0, "mkdir %s", test_dirname);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		fds[i] = open(test_dirname, wanted[i]);
		check(fds[i] >= 0, "open with flags %#o", wanted[i]);
		flags[i] = fcntl(fds[i], F_GETFL);
	}

	test_daemon();
	test_waitsig();

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		check(fstat(fds[i], &after) == 0 && after.st_ino == before.st_ino, "fd %d is another directory",
		      fds[i]);
		check(fcntl(fds[i], F_GETFL) == flags[i], "flags are %#o, were %#o", fcntl(fds[i], F_GETFL), flags[i]);
	}
	return pass();
}
