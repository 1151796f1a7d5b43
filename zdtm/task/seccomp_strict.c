/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Strict mode of seccomp: a child that can read and write, and dies of anything else. */
#include "filter.h"

static struct talk talk;

static int child(void *unused)
{
	(void)unused;
	check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0, "SECCOMP_MODE_STRICT");
	talk_answer(&talk);
	syscall(SYS_getpid);
	syscall(SYS_exit, 0);
	return 0;
}

int main(int argc, char **argv)
{
	char path[64], mode[8], ready;
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
	snprintf(path, sizeof(path), "%d/status", pid);
	proc_field(path, "Seccomp", mode, sizeof(mode));
	check(strcmp(mode, "1") == 0, "the mode is %s", mode);
	check(talk_ask(&talk, 'a') == 'a', "the child does not answer any more");
	check(talk_ask(&talk, 'q') == -1, "the child may do more than before");
	check(waitpid(pid, &status, 0) == pid, "waitpid");
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the child ended with %#x", status);
	return pass();
}
