/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Packet mode and the lock of pseudo-terminals (TIOCPKT, TIOCSPTLCK, ioctl_tty(2)). */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/ioctl.h>

/* Opens a pseudo-terminal; *slave is -1 if its lock is to stay. */
static int open_pty(int *slave, bool unlock)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);

	check(master >= 0 && grantpt(master) == 0, "posix_openpt");
	*slave = -1;
	if (unlock) {
		check(unlockpt(master) == 0, "unlockpt");
		*slave = open(ptsname(master), O_RDWR | O_NOCTTY);
		check(*slave >= 0, "open the slave");
	}
	return master;
}

static int get(int fd, unsigned long request)
{
	int value = -1;

	check(ioctl(fd, request, &value) == 0, "ioctl %#lx", request);
	return value;
}

int main(int argc, char **argv)
{
	int packet, packet_slave, plain, plain_slave, locked, none, on = 1;
	char text[16];

	test_init(argc, argv);
	packet = open_pty(&packet_slave, true);
	plain = open_pty(&plain_slave, true);
	locked = open_pty(&none, false);
	check(ioctl(packet, TIOCPKT, &on) == 0, "TIOCPKT");
	check(get(packet, TIOCGPKT) == 1 && get(locked, TIOCGPTLCK) == 1, "modes");

	test_daemon();
	test_waitsig();

	check(get(packet, TIOCGPKT) == 1, "packet mode is off");
	check(get(plain, TIOCGPKT) == 0, "packet mode is on where it was off");
	check(get(locked, TIOCGPTLCK) == 1 && get(plain, TIOCGPTLCK) == 0, "locks");
	check(open(ptsname(locked), O_RDWR | O_NOCTTY) == -1 && errno == EIO, "a locked slave can be opened");
	errno = 0;
	check(write(packet_slave, "data", 4) == 4 && read(packet, text, sizeof(text)) == 5, "read in packet mode");
	check(text[0] == TIOCPKT_DATA && !memcmp(text + 1, "data", 4), "the packet starts with %d", text[0]);
	return pass();
}
