/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The call that most programs are in when they are dumped. */
#include "zdtm.h"

static struct barrier *ready;

static int child(void *argument)
{
	char byte = 0;
	ssize_t got;

	barrier_post(ready);
	got = read(*(int *)argument, &byte, 1);
	check(got == 1 && byte == 'x', "read says %zd, byte %#x", got, byte);
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
