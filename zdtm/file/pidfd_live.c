/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* pidfd_open(2) of the process itself, of a child, and of a zombie: each still leads to the same process. */
#include "zdtm.h"

#include <poll.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static int child(void *unused)
{
	(void)unused;
	test_waitsig();
	return 0;
}

static int exit_at_once(void *unused)
{
	(void)unused;
	return 7;
}

static int open_of(pid_t pid)
{
	int fd = syscall(SYS_pidfd_open, pid, 0);

	check(fd >= 0, "pidfd_open");
	return fd;
}

static short events(int fd, int timeout)
{
	struct pollfd polled = { .fd = fd, .events = POLLIN };

	check(poll(&polled, 1, timeout) >= 0, "poll");
	return polled.revents;
}

int main(int argc, char **argv)
{
	int self, live, zombie;
	siginfo_t info;
	pid_t pids[2];

	test_init(argc, argv);
	pids[0] = test_fork(child, NULL);
	pids[1] = test_fork(exit_at_once, NULL);
	self = open_of(getpid());
	live = open_of(pids[0]);
	zombie = open_of(pids[1]);
	check(waitid(P_PID, pids[1], &info, WEXITED | WNOWAIT) == 0, "waitid");

	test_daemon();
	test_waitsig();

	check(events(self, 0) == 0 && events(live, 0) == 0, "a process that runs has ended");
	check(syscall(SYS_pidfd_send_signal, self, 0, NULL, 0) == 0, "a signal to itself");
	check(events(zombie, 0) & POLLIN, "the zombie runs");
	memset(&info, 0, sizeof(info));
	check(waitid(P_PIDFD, zombie, &info, WEXITED) == 0, "waitid");
	check(info.si_pid == pids[1] && info.si_status == 7, "child %d ended with %d", info.si_pid, info.si_status);
	check(syscall(SYS_pidfd_send_signal, live, SIGTERM, NULL, 0) == 0, "a signal to the child");
	check(events(live, 60000) & POLLIN, "the child does not end");
	check(waitid(P_PIDFD, live, &info, WEXITED) == 0 && info.si_pid == pids[0], "it was another child");
	return pass();
}
