/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Bytes that were written to a pseudo-terminal and not read, in both directions (pty(7)). */
#include "zdtm.h"

#include <fcntl.h>
#include <termios.h>

int main(int argc, char **argv)
{
	static const char down[] = "typed \003 but not read\r\n", up[] = "printed but not shown\r\n";
	struct termios raw;
	char text[64];
	int master, slave;

	test_init(argc, argv);
	master = posix_openpt(O_RDWR | O_NOCTTY);
	check(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0, "posix_openpt");
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_NONBLOCK);
	check(slave >= 0 && tcgetattr(slave, &raw) == 0, "open the slave");
	cfmakeraw(&raw);
	check(tcsetattr(slave, TCSANOW, &raw) == 0 && fcntl(master, F_SETFL, O_NONBLOCK) == 0, "tcsetattr");
	check(write(master, down, sizeof(down)) == sizeof(down) && write(slave, up, sizeof(up)) == sizeof(up), "write");

	test_daemon();
	test_waitsig();

	check(read(slave, text, sizeof(text)) == sizeof(down) && !memcmp(text, down, sizeof(down)),
	      "input of the slave");
	check(read(slave, text, 1) == -1 && errno == EAGAIN, "there is more input");
	check(read(master, text, sizeof(text)) == sizeof(up) && !memcmp(text, up, sizeof(up)), "output of the slave");
	check(read(master, text, 1) == -1 && errno == EAGAIN, "there is more output");
	return pass();
}
