/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Exclusive use of a terminal (TIOCEXCL, ioctl_tty(2)), and of none where it was not asked for. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/ioctl.h>

static int open_slave(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;

	check(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0, "posix_openpt");
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	check(slave >= 0, "open the slave");
	return slave;
}

static int is_exclusive(int fd)
{
	int value = -1;

	check(ioctl(fd, TIOCGEXCL, &value) == 0, "TIOCGEXCL");
	return value;
}

int main(int argc, char **argv)
{
	int exclusive, plain;

	test_init(argc, argv);
	exclusive = open_slave();
	plain = open_slave();
	check(ioctl(exclusive, TIOCEXCL) == 0 && is_exclusive(exclusive) == 1, "TIOCEXCL");

	test_daemon();
	test_waitsig();

	check(is_exclusive(exclusive) == 1, "the terminal is open to all");
	check(is_exclusive(plain) == 0, "the other terminal is exclusive");
	check(ioctl(exclusive, TIOCNXCL) == 0 && is_exclusive(exclusive) == 0, "TIOCNXCL");
	return pass();
}
