/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A child of clone(2) with another exit signal than SIGCHLD: its end sends that one, and wait(2) finds it by __WCLONE. */
#include "zdtm.h"

#include <sys/syscall.h>

static volatile sig_atomic_t received, others;

static void on_signal(int signal)
{
	if (signal == SIGUSR1)
		received = 1;
	else
		others = 1;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	int status;
	pid_t pid;

	test_init(argc, argv);
	check(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
	check(sigaction(SIGCHLD, &action, NULL) == 0, "sigaction");
	pid = syscall(SYS_clone, SIGUSR1, 0, 0, 0, 0);
	check(pid >= 0, "clone");
	if (pid == 0) {
		/* Who started the test waits until nobody has its pipe open. */
		close_range(3, ~0U, 0);
		for (;;)
			pause();
	}
	test_daemon();
	test_waitsig();
	check(waitpid(pid, &status, WNOHANG) == -1 && errno == ECHILD, "the child is an ordinary one");
	check(kill(pid, SIGKILL) == 0, "kill");
	check(waitpid(pid, &status, __WCLONE) == pid, "the child is not found");
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the status is %#x", status);
	check(received, "no SIGUSR1 came");
	check(!others, "SIGCHLD came");
	return pass();
}
