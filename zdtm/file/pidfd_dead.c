/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* pidfd_open(2) of processes that have ended and were waited for: nothing else can be reached through it. */
#include "zdtm.h"

#include <fcntl.h>
#include <poll.h>

static int exit_at_once(void *unused)
{
	(void)unused;
	return 0;
}

static void open_dead(int fds[2])
{
	pid_t pid = test_fork(exit_at_once, NULL);
	int status;

	fds[0] = syscall(SYS_pidfd_open, pid, 0);
	fds[1] = syscall(SYS_pidfd_open, pid, O_NONBLOCK);
	check(fds[0] >= 0 && fds[1] >= 0, "pidfd_open");
	check(waitpid(pid, &status, 0) == pid && status == 0, "wait");
}

int main(int argc, char **argv)
{
	int fds[4];
	size_t i;

	test_init(argc, argv);
	open_dead(fds);
	open_dead(fds + 2);

	test_daemon();
	test_waitsig();

	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		struct pollfd polled = { .fd = fds[i], .events = POLLIN };
		char path[64], value[32];

		check(poll(&polled, 1, 0) == 1 && polled.revents & POLLIN, "process %zu has not ended", i);
		check(syscall(SYS_pidfd_send_signal, fds[i], 0, NULL, 0) == -1 && errno == ESRCH, "it gets signals");
		errno = 0;
		snprintf(path, sizeof(path), "self/fdinfo/%d", fds[i]);
		proc_field(path, "Pid", value, sizeof(value));
		check(!strcmp(value, "-1"), "it is process %s", value);
		check(fcntl(fds[i], F_GETFL) == (i % 2 ? O_RDWR | O_NONBLOCK : O_RDWR), "flags of %zu", i);
	}
	return pass();
}
