/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A tree as of a busy machine; every process has an own page of data and answers at the end. */
#include "zdtm.h"

#include <pthread.h>

enum { BRANCHES = 10, LEAVES = 19, THREADS = 100 };

static struct barrier *ready, *go;

static void *thread(void *argument)
{
	barrier_post(ready);
	barrier_wait(go, 1);
	return argument;
}

static void live(uint32_t seed)
{
	const pid_t pid = getpid(), parent = getppid(), group = getpgid(0), session = getsid(0);
	char *page = map_pages(1);

	pattern_fill(page, page_size(), seed);
	barrier_post(ready);
	test_waitsig();
	check(getpid() == pid && getppid() == parent && getpgid(0) == group && getsid(0) == session,
	      "task %u: pid %d, parent %d, group %d, session %d", seed, getpid(), getppid(), getpgid(0), getsid(0));
	check(pattern_holds(page, page_size(), seed), "the page of task %u has changed", seed);
}

static int leaf(void *argument)
{
	const uint32_t seed = (uintptr_t)argument;

	/* One in seven leads a group. */
	if (seed % 7 == 0)
		check(setpgid(0, 0) == 0, "setpgid");
	live(seed);
	return 0;
}

/* Every branch has a task that stops itself when it is ready. */
static int stopped(void *argument)
{
	barrier_post(ready);
	raise(SIGSTOP);
	return (uintptr_t)argument;
}

static void continue_stopped(pid_t pid, int expected)
{
	int status;

	check(waitpid(pid, &status, WNOHANG) == 0, "the stopped task %d has gone on", pid);
	check(kill(pid, SIGCONT) == 0 && waitpid(pid, &status, 0) == pid, "SIGCONT");
	check(WIFEXITED(status) && WEXITSTATUS(status) == expected, "task %d ended with %#x", pid, status);
}

static int zombie(void *argument)
{
	return (uintptr_t)argument;
}

static void reap_zombie(pid_t pid, int expected)
{
	int status;

	check(waitpid(pid, &status, WNOHANG) == pid, "zombie %d is not there", pid);
	check(WIFEXITED(status) && WEXITSTATUS(status) == expected, "zombie %d ended with %#x", pid, status);
}

static int branch(void *argument)
{
	const uintptr_t number = (uintptr_t)argument;
	pid_t leaves[LEAVES], dead = 0, stop;
	pthread_t threads[THREADS];
	int status;

	if (number % 2)
		check(setsid() == getpid(), "setsid");
	for (uintptr_t i = 0; i < LEAVES; i++)
		leaves[i] = test_fork(leaf, (void *)(number * 100 + i));
	if (number % 3 == 0) {
		dead = test_fork(zombie, (void *)(number + 50));
		check(waitid(P_PID, dead, &(siginfo_t){ 0 }, WEXITED | WNOWAIT) == 0, "waitid");
	}
	stop = test_fork(stopped, (void *)(number + 80));
	check(waitpid(stop, &status, WUNTRACED) == stop && WIFSTOPPED(status), "the task does not stop");
	for (int i = 0; number == 1 && i < THREADS; i++)
		check(pthread_create(&threads[i], NULL, thread, NULL) == 0, "pthread_create");
	live(number);
	for (int i = 0; i < LEAVES; i++)
		test_join(leaves[i]);
	continue_stopped(stop, number + 80);
	if (dead)
		reap_zombie(dead, number + 50);
	for (int i = 0; number == 1 && i < THREADS; i++)
		check(pthread_join(threads[i], NULL) == 0, "pthread_join");
	return 0;
}

int main(int argc, char **argv)
{
	pid_t branches[BRANCHES];

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	for (uintptr_t i = 0; i < BRANCHES; i++)
		branches[i] = test_fork(branch, (void *)i);
	barrier_wait(ready, BRANCHES * (LEAVES + 2) + THREADS);
	test_daemon();
	test_waitsig();
	barrier_post(go);
	for (int i = 0; i < BRANCHES; i++)
		test_join(branches[i]);
	return pass();
}
