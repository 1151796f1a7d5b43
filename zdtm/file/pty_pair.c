/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Both ends of a pseudo-terminal (pty(7)): index, termios, window size, and that they are still connected. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

int main(int argc, char **argv)
{
	struct winsize size = { 33, 101, 505, 303 }, size_after;
	struct termios before, after;
	char name[64], text[16];
	int master, slave;

	test_init(argc, argv);
	master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	check(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0, "posix_openpt");
	check(ptsname_r(master, name, sizeof(name)) == 0, "ptsname");
	slave = open(name, O_RDWR | O_NOCTTY);
	check(slave >= 0 && tcgetattr(slave, &before) == 0, "open %s", name);
	before.c_iflag = (before.c_iflag & ~ICRNL) | IXOFF | IGNPAR;
	before.c_oflag &= ~OPOST;
	before.c_lflag &= ~(ICANON | ECHO | ISIG);
	before.c_cc[VMIN] = 3;
	before.c_cc[VINTR] = 'i';
	check(cfsetspeed(&before, B9600) == 0 && tcsetattr(slave, TCSANOW, &before) == 0, "tcsetattr");
	check(tcgetattr(slave, &before) == 0 && ioctl(master, TIOCSWINSZ, &size) == 0, "TIOCSWINSZ");

	test_daemon();
	test_waitsig();

	check(tcgetattr(slave, &after) == 0, "tcgetattr");
	check(before.c_iflag == after.c_iflag && before.c_oflag == after.c_oflag && before.c_cflag == after.c_cflag &&
	      before.c_lflag == after.c_lflag, "flags");
	check(!memcmp(before.c_cc, after.c_cc, sizeof(before.c_cc)), "control characters");
	check(cfgetospeed(&after) == B9600 && cfgetispeed(&after) == cfgetispeed(&before), "speed");
	check(ioctl(slave, TIOCGWINSZ, &size_after) == 0 && !memcmp(&size, &size_after, sizeof(size)), "window size");
	check(ptsname_r(master, text, sizeof(text)) == 0 && !strcmp(text, name), "the slave is %s, was %s", text, name);
	check(fcntl(master, F_GETFL) & O_NONBLOCK && !(fcntl(slave, F_GETFL) & O_NONBLOCK), "status flags");
	check(write(master, "down", 4) == 4 && read(slave, text, 4) == 4 && !memcmp(text, "down", 4), "to the slave");
	check(write(slave, "up", 2) == 2 && read(master, text, 4) == 2 && !memcmp(text, "up", 2), "to the master");
	check(close(slave) == 0 && read(master, text, 1) == -1 && errno == EIO, "the slave is held by somebody else");
	return pass();
}
