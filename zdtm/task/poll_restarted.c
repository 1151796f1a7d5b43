/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A child waits in poll for a pipe; it must wake up for the byte that is written after the restore. */
#include "zdtm.h"

#include <poll.h>

static struct barrier *ready;

static int child(void *argument)
{
	struct pollfd fd = { .fd = *(int *)argument, .events = POLLIN };
	int result;

	barrier_post(ready);
	result = poll(&fd, 1, -1);
	check(result == 1, "poll says %d", result);
	check(fd.revents == POLLIN, "events are %#x", fd.revents);
	return 0;
}

int main(int argc, char **argv)
{
	int pipe_fds[2], status;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	check(pipe(pipe_fds) == 0, "pipe");
	pid = test_fork(child, &pipe_fds[0]);
	barrier_wait(ready, 1);
	wait_asleep(pid);
	test_daemon();
	test_waitsig();
	check(write(pipe_fds[1], "x", 1) == 1, "write");
	check(waitpid(pid, &status, 0) == pid && status == 0, "the child ended with %#x", status);
	return pass();
}
