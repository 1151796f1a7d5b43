/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A seccomp filter that allows next to nothing: crio can ask the process nothing that the filter would not punish. */
#include "filter.h"

static struct talk talk;

static void ignore(int signal)
{
	(void)signal;
}

static int child(void *unused)
{
	struct sigaction action = { .sa_handler = ignore, .sa_flags = SA_RESTART };
	struct sock_filter steps[] = {
		OWN_CALLS,
		ANSWER(SYS_read, SECCOMP_RET_ALLOW),
		ANSWER(SYS_write, SECCOMP_RET_ALLOW),
		ANSWER(SYS_exit, SECCOMP_RET_ALLOW),
		ANSWER(SYS_rt_sigreturn, SECCOMP_RET_ALLOW),
#ifdef SYS_sigreturn
		ANSWER(SYS_sigreturn, SECCOMP_RET_ALLOW),
#endif
		OTHERS(SECCOMP_RET_KILL),
	};

	(void)unused;
	check(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
	check(filter_promise(steps, ARRAY_SIZE(steps)) == 0, "seccomp");
	talk_answer(&talk);
	syscall(SYS_getpid);
	syscall(SYS_exit, 0);
	return 0;
}

int main(int argc, char **argv)
{
	char ready;
	int status;
	pid_t pid;

	test_init(argc, argv);
	check(pipe(talk.to) == 0 && pipe(talk.from) == 0, "pipe");
	pid = test_fork(child, NULL);
	/* Else a child that is gone would leave us waiting. */
	close(talk.from[1]);
	check(read(talk.from[0], &ready, 1) == 1, "the child does not answer");
	test_daemon();
	test_waitsig();
	check(talk_ask(&talk, 'a') == 'a', "the child does not answer any more");
	/* The handler returns by a system call. */
	check(kill(pid, SIGUSR1) == 0, "kill");
	check(talk_ask(&talk, 'b') == 'b', "the child did not survive its handler");
	check(talk_ask(&talk, 'q') == -1, "the child may do more than before");
	check(waitpid(pid, &status, 0) == pid, "waitpid");
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "the child ended with %#x", status);
	return pass();
}
