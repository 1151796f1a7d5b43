/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A pseudo-terminal as controlling terminal of a session (tty(4), credentials(7)): session, foreground group, and
 * the signal that a control character sends to that group alone.
 */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

static struct barrier *ready, *interrupted;
static int master, slave;

static void on_interrupt(int signal)
{
	(void)signal;
	barrier_post(interrupted);
}

static int foreground(void *argument)
{
	(void)argument;
	check(setpgid(0, 0) == 0 && signal(SIGINT, on_interrupt) != SIG_ERR, "setpgid");
	barrier_post(ready);
	test_waitsig();
	return 0;
}

static int leader(void *argument)
{
	pid_t pid;
	int tty;

	(void)argument;
	close(master);
	check(setsid() == getpid() && ioctl(slave, TIOCSCTTY, 0) == 0, "setsid");
	pid = test_fork(foreground, NULL);
	barrier_wait(ready, 1);
	check(tcsetpgrp(slave, pid) == 0, "tcsetpgrp");
	barrier_post(ready);
	test_waitsig();
	check(tcgetsid(slave) == getpid(), "the terminal's session is %d", tcgetsid(slave));
	check(tcgetpgrp(slave) == pid, "the foreground group is %d", tcgetpgrp(slave));
	/* In the background from here on: opening is allowed, and proves that this is the controlling terminal. */
	tty = open("/dev/tty", O_RDWR);
	check(tty >= 0 && tcgetpgrp(tty) == pid && close(tty) == 0, "open /dev/tty");
	barrier_wait(interrupted, 1);
	test_join(pid);
	return 0;
}

int main(int argc, char **argv)
{
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	interrupted = barrier_new();
	master = posix_openpt(O_RDWR | O_NOCTTY);
	check(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0, "posix_openpt");
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	check(slave >= 0, "open the slave");
	pid = test_fork(leader, NULL);
	barrier_wait(ready, 2);
	close(slave);

	test_daemon();
	test_waitsig();

	check(open("/dev/tty", O_RDWR) == -1 && errno == ENXIO, "the test itself has got a controlling terminal");
	errno = 0;
	check(interrupted->count == 0, "the signal came by itself");
	check(write(master, "\003", 1) == 1, "type control-C");
	barrier_wait(interrupted, 1);
	test_join(pid);
	check(interrupted->count == 1, "%u signals came", interrupted->count);
	return pass();
}
