/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The frames of both handlers are on the stack; after the restore each returns to where it came from. */
#include "zdtm.h"

static struct barrier *ready;
static volatile int depth, passed;

static void on_usr2(int signal)
{
	(void)signal;
	depth = 2;
	barrier_post(ready);
	test_waitsig();
	passed++;
}

static void on_usr1(int signal)
{
	char text[300];

	(void)signal;
	depth = 1;
	pattern_fill(text, sizeof(text), 5);
	raise(SIGUSR2);
	check(pattern_holds(text, sizeof(text), 5), "the frame below has changed");
	passed++;
}

static int child(void *argument)
{
	struct sigaction first = { .sa_handler = on_usr1 }, second = { .sa_handler = on_usr2 };
	volatile double kept = 1.5;
	sigset_t before, after;

	(void)argument;
	sigaddset(&first.sa_mask, SIGHUP);
	check(sigaction(SIGUSR1, &first, NULL) == 0 && sigaction(SIGUSR2, &second, NULL) == 0, "sigaction");
	check(sigprocmask(SIG_SETMASK, NULL, &before) == 0, "sigprocmask");
	raise(SIGUSR1);
	check(depth == 2 && passed == 2 && kept == 1.5, "depth %d, passed %d", depth, passed);
	check(sigprocmask(SIG_SETMASK, NULL, &after) == 0, "sigprocmask");
	for (int signal = 1; signal <= SIGRTMAX; signal++)
		check(sigismember(&before, signal) == sigismember(&after, signal), "signal %d stays blocked", signal);
	return 0;
}

int main(int argc, char **argv)
{
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	pid = test_fork(child, NULL);
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	test_join(pid);
	return pass();
}
