/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* PR_SET_PDEATHSIG of a grandchild; its parent ends after the restore, and the signal must come. */
#include "zdtm.h"

#include <sys/prctl.h>

static struct barrier *ready, *died;

static void on_signal(int signal)
{
	(void)signal;
	barrier_post(died);
}

static int grandchild(void *argument)
{
	struct sigaction action = { .sa_handler = on_signal };
	int signal = 0;

	(void)argument;
	check(sigaction(SIGUSR2, &action, NULL) == 0, "sigaction");
	check(prctl(PR_SET_PDEATHSIG, SIGUSR2) == 0, "PR_SET_PDEATHSIG");
	barrier_post(ready);
	barrier_wait(died, 1);
	check(prctl(PR_GET_PDEATHSIG, &signal) == 0 && signal == SIGUSR2, "the signal is %d", signal);
	barrier_post(died);
	return 0;
}

static int child(void *argument)
{
	test_fork(grandchild, argument);
	test_waitsig();
	return 0;
}

int main(int argc, char **argv)
{
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	died = barrier_new();
	pid = test_fork(child, NULL);
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	test_join(pid);
	barrier_wait(died, 2);
	return pass();
}
