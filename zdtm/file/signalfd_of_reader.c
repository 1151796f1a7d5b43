/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A signalfd(2) that parent and child share gives each its own signals. */
#include "zdtm.h"

#include <poll.h>
#include <sys/signalfd.h>

static int fd;

/* The code of the signal's sender, -1 if there is none. */
static int next_value(void)
{
	struct pollfd events = { .fd = fd, .events = POLLIN };
	struct signalfd_siginfo info;

	if (poll(&events, 1, 0) != 1 || read(fd, &info, sizeof(info)) != sizeof(info))
		return -1;
	return info.ssi_int;
}

static int child(void *unused)
{
	(void)unused;
	test_waitsig();
	check(next_value() == 2, "the child's signal is gone");
	check(next_value() == -1, "the child reads the parent's signal");
	return 0;
}

int main(int argc, char **argv)
{
	sigset_t set;
	pid_t pid;

	test_init(argc, argv);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	check(sigprocmask(SIG_BLOCK, &set, NULL) == 0, "sigprocmask");
	fd = signalfd(-1, &set, SFD_NONBLOCK);
	check(fd >= 0, "signalfd");
	pid = test_fork(child, NULL);
	check(sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 1 }) == 0, "sigqueue");
	check(sigqueue(pid, SIGUSR1, (union sigval){ .sival_int = 2 }) == 0, "sigqueue");

	test_daemon();
	test_waitsig();

	check(next_value() == 1, "the parent's signal is gone");
	check(next_value() == -1, "the parent reads the child's signal");
	test_join(pid);
	return pass();
}
