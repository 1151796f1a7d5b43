/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Access mode and status flags of open files (open(2), F_GETFL): what the kernel reports must be the same, and the
 * access mode must be obeyed.
 */
#include "zdtm.h"

#include <fcntl.h>

/* O_DIRECT is left out where the file system has no direct I/O. */
static const int wanted[] = {
	O_RDONLY,
	O_WRONLY,
	O_RDWR,
	O_RDWR | O_APPEND,
	O_RDONLY | O_NONBLOCK,
	O_WRONLY | O_APPEND | O_NONBLOCK,
	O_RDONLY | O_NOATIME,
	O_RDWR | O_DSYNC,
	O_WRONLY | O_SYNC,
	O_RDWR | O_LARGEFILE,
	O_RDONLY | O_NOFOLLOW,
	O_RDWR | O_DIRECT,
};

static void check_access(int fd, int mode)
{
	char byte;
	bool readable, writable;

	readable = read(fd, &byte, 0) == 0;
	writable = write(fd, &byte, 0) == 0;
	errno = 0;
	check(readable == (mode != O_WRONLY), "fd %d of mode %d: readable is %d", fd, mode, readable);
	check(writable == (mode != O_RDONLY), "fd %d of mode %d: writable is %d", fd, mode, writable);
}

int main(int argc, char **argv)
{
	int fds[ARRAY_SIZE(wanted)], flags[ARRAY_SIZE(wanted)];

	test_init(argc, argv);
	check(write_text(test_filename, "contents") == 0, "write %s", test_filename);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		flags[i] = -1;
		fds[i] = open(test_filename, wanted[i]);
		if (fds[i] < 0 && (wanted[i] & O_DIRECT) && errno == EINVAL)
			continue;
		check(fds[i] >= 0, "open with flags %#o", wanted[i]);
		flags[i] = fcntl(fds[i], F_GETFL);
	}

	test_daemon();
	test_waitsig();

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (flags[i] < 0)
			continue;
		check(fcntl(fds[i], F_GETFL) == flags[i], "flags are %#o, were %#o", fcntl(fds[i], F_GETFL), flags[i]);
		check_access(fds[i], wanted[i] & O_ACCMODE);
	}
	return pass();
}
