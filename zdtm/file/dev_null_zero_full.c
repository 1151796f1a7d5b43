/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The devices null, zero and full (null(4), full(4)): each is still the same device with the same access mode. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static void check_device(int fd, unsigned int minor_number, int flags)
{
	struct stat status;

	check(fstat(fd, &status) == 0 && S_ISCHR(status.st_mode), "fd %d is no character device", fd);
	check(status.st_rdev == makedev(1, minor_number), "fd %d is device %u:%u", fd, major(status.st_rdev),
	      minor(status.st_rdev));
	check((fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK)) == flags, "flags of fd %d", fd);
}

int main(int argc, char **argv)
{
	char byte = 'x';
	int null, zero, full;

	test_init(argc, argv);
	null = open("/dev/null", O_RDWR | O_APPEND);
	zero = open("/dev/zero", O_RDONLY | O_NONBLOCK);
	full = open("/dev/full", O_WRONLY);
	check(null >= 0 && zero >= 0 && full >= 0, "open");

	test_daemon();
	test_waitsig();

	check_device(0, 3, O_RDONLY);
	check_device(null, 3, O_RDWR | O_APPEND);
	check_device(zero, 5, O_RDONLY | O_NONBLOCK);
	check_device(full, 7, O_WRONLY);
	check(read(null, &byte, 1) == 0 && write(null, &byte, 1) == 1, "/dev/null");
	check(read(zero, &byte, 1) == 1 && byte == 0, "/dev/zero");
	check(write(full, &byte, 1) == -1 && errno == ENOSPC, "/dev/full takes a byte");
	return pass();
}
