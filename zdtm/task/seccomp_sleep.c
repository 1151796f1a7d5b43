/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A process that sleeps over and over, under a seccomp filter that kills it at the call by which an interrupted sleep
 * goes on. */
#include "filter.h"

#include <poll.h>

static int from_child[2];

static int child(void *unused)
{
	struct sock_filter steps[] = {
		OWN_CALLS,
		ANSWER(SYS_nanosleep, SECCOMP_RET_ALLOW),
		ANSWER(SYS_write, SECCOMP_RET_ALLOW),
		ANSWER(SYS_rt_sigreturn, SECCOMP_RET_ALLOW),
		OTHERS(SECCOMP_RET_KILL),
	};
	/* As this call has it on every machine. */
	long time[2] = { 0, 100000000 };

	(void)unused;
	check(filter_promise(steps, ARRAY_SIZE(steps)) == 0, "seccomp");
	while (write(from_child[1], "s", 1) == 1)
		syscall(SYS_nanosleep, time, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	struct pollfd waiting;
	char byte;
	pid_t pid;

	test_init(argc, argv);
	check(pipe(from_child) == 0, "pipe");
	waiting = (struct pollfd){ .fd = from_child[0], .events = POLLIN };
	pid = test_fork(child, NULL);
	/* Else a child that is gone would leave us waiting. */
	close(from_child[1]);
	check(read(from_child[0], &byte, 1) == 1, "the child does not run");
	wait_asleep(pid);
	test_daemon();
	test_waitsig();
	/* What it has written before. */
	while (poll(&waiting, 1, 0) == 1 && read(from_child[0], &byte, 1) == 1)
		;
	for (int i = 0; i < 2; i++)
		check(read(from_child[0], &byte, 1) == 1, "the child is gone");
	check(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid, "the end of the child");
	return pass();
}
