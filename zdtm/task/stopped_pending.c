/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Signals that a stopped process has not taken yet wait until it is continued: those that end it, and those it handles. */
#include "zdtm.h"

#include <pthread.h>
#include <sched.h>

static struct barrier *ready;
static volatile uint32_t *handled;

static void handler(int signal)
{
	*handled = signal;
}

static void *thread(void *argument)
{
	barrier_post(ready);
	for (;;)
		pause();
	return argument;
}

static int child(void *argument)
{
	pthread_t other;

	signal(SIGUSR1, handler);
	signal(SIGUSR2, SIG_DFL);
	if (argument)
		check(pthread_create(&other, NULL, thread, NULL) == 0, "pthread_create");
	thread(NULL);
	return 0;
}

static void check_stopped(pid_t pid)
{
	char path[64], state[64];

	snprintf(path, sizeof(path), "%d/status", pid);
	proc_field(path, "State", state, sizeof(state));
	check(state[0] == 'T', "the state of %d is %s", pid, state);
}

int main(int argc, char **argv)
{
	static const int stops[] = { SIGSTOP, SIGTSTP, SIGSTOP };
	pid_t pids[ARRAY_SIZE(stops)];
	uint32_t i;
	int status;

	test_init(argc, argv);
	ready = barrier_new();
	handled = (void *)barrier_new();
	/* One has two threads. */
	for (i = 0; i < ARRAY_SIZE(stops); i++)
		pids[i] = test_fork(child, i ? NULL : &ready);
	barrier_wait(ready, ARRAY_SIZE(stops) + 1);
	for (i = 0; i < ARRAY_SIZE(stops); i++) {
		/* A group that the parent's session looks after, so that SIGTSTP stops it. */
		check(setpgid(pids[i], 0) == 0, "setpgid");
		check(kill(pids[i], stops[i]) == 0, "kill");
		check(waitpid(pids[i], &status, WUNTRACED) == pids[i] && WIFSTOPPED(status), "it does not stop");
		check(kill(pids[i], i == 1 ? SIGUSR1 : SIGUSR2) == 0, "kill");
	}
	test_daemon();
	test_waitsig();
	for (i = 0; i < ARRAY_SIZE(stops); i++)
		check_stopped(pids[i]);
	check(*handled == 0, "a stopped child has handled a signal");
	for (i = 0; i < ARRAY_SIZE(stops); i++)
		check(kill(pids[i], SIGCONT) == 0, "SIGCONT");
	while (*handled != SIGUSR1)
		sched_yield();
	check(kill(pids[1], SIGUSR2) == 0, "kill");
	for (i = 0; i < ARRAY_SIZE(stops); i++) {
		check(waitpid(pids[i], &status, 0) == pids[i], "waitpid");
		check(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR2, "child %u ends with %#x", i, status);
	}
	return pass();
}
