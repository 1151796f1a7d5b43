/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A descriptor of /dev/tty (tty(4)), a file that leads every opener to the controlling terminal of its own session, in
 * two sessions with a terminal each.
 */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

static struct barrier *ready;
static int master[2];

static void check_line(int fd, const char *line)
{
	char buf[32] = "";

	check(read(fd, buf, sizeof(buf) - 1) == (ssize_t)strlen(line) && !strcmp(buf, line), "the line is %s", buf);
}

static int leader(void *argument)
{
	const int which = argument != NULL;
	int slave, tty;

	slave = open(ptsname(master[which]), O_RDWR | O_NOCTTY);
	check(slave >= 0 && setsid() == getpid() && ioctl(slave, TIOCSCTTY, 0) == 0, "setsid");
	tty = open("/dev/tty", O_RDWR | O_NONBLOCK);
	check(tty >= 0 && close(slave) == 0, "open /dev/tty");
	barrier_post(ready);
	test_waitsig();
	check(fcntl(tty, F_GETFL) & O_NONBLOCK, "the flags are lost");
	check(fcntl(tty, F_SETFL, 0) == 0 && tcgetsid(tty) == getpid(), "it belongs to session %d", tcgetsid(tty));
	check_line(tty, which ? "second\n" : "first\n");
	return 0;
}

int main(int argc, char **argv)
{
	pid_t pid[2];
	int i;

	test_init(argc, argv);
	ready = barrier_new();
	for (i = 0; i < 2; i++) {
		master[i] = posix_openpt(O_RDWR | O_NOCTTY);
		check(master[i] >= 0 && grantpt(master[i]) == 0 && unlockpt(master[i]) == 0, "posix_openpt");
	}
	pid[0] = test_fork(leader, NULL);
	pid[1] = test_fork(leader, master);
	barrier_wait(ready, 2);

	test_daemon();
	test_waitsig();

	check(write(master[0], "first\n", 6) == 6 && write(master[1], "second\n", 7) == 7, "type a line");
	test_join(pid[0]);
	test_join(pid[1]);
	return pass();
}
