/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A process that inherited its controlling terminal from the session leader still has it (tty(4), proc(5) tty_nr). */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

static struct barrier *ready;
static int master, slave;

static int member(void *argument)
{
	pid_t session = getppid();
	int tty;

	(void)argument;
	close(slave);
	barrier_post(ready);
	test_waitsig();
	tty = open("/dev/tty", O_RDWR);
	check(tty >= 0, "open /dev/tty");
	check(tcgetsid(tty) == session && tcgetpgrp(tty) == session, "session %d, group %d", tcgetsid(tty),
	      tcgetpgrp(tty));
	return write(tty, "here", 4) == 4 ? 0 : 1;
}

static int leader(void *argument)
{
	pid_t pid;

	(void)argument;
	close(master);
	check(setsid() == getpid() && ioctl(slave, TIOCSCTTY, 0) == 0, "setsid");
	pid = test_fork(member, NULL);
	barrier_wait(ready, 1);
	barrier_post(ready);
	test_waitsig();
	test_join(pid);
	return 0;
}

int main(int argc, char **argv)
{
	char text[16];
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	master = posix_openpt(O_RDWR | O_NOCTTY);
	check(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0, "posix_openpt");
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	check(slave >= 0, "open the slave");
	pid = test_fork(leader, NULL);
	barrier_wait(ready, 2);

	test_daemon();
	test_waitsig();

	test_join(pid);
	check(read(master, text, sizeof(text)) == 4 && !memcmp(text, "here", 4), "what the member wrote");
	return pass();
}
