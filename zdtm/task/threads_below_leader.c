/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A thread whose id is lower than that of its leader: kernel.ns_last_pid makes ids start again from below. */
#include "zdtm.h"

#include <pthread.h>

enum { ABOVE = 1000, BELOW = 500 };

static struct barrier *ready, *go;

static void next_id(pid_t id)
{
	char last[16];

	snprintf(last, sizeof(last), "%d", id - 1);
	check(write_text("/proc/sys/kernel/ns_last_pid", last) == 0, "ns_last_pid");
}

static void *thread(void *tid)
{
	*(volatile pid_t *)tid = gettid();
	barrier_post(ready);
	barrier_wait(go, 1);
	check(gettid() == *(pid_t *)tid, "the thread is now %d", gettid());
	return NULL;
}

static int child(void *argument)
{
	const pid_t pid = getpid();
	pid_t lower = 0;
	pthread_t id;

	(void)argument;
	next_id(pid - BELOW);
	check(pthread_create(&id, NULL, thread, &lower) == 0, "pthread_create");
	barrier_wait(ready, 1);
	check(lower < pid, "thread %d is not below process %d", lower, pid);
	barrier_post(ready);
	test_waitsig();
	check(getpid() == pid && gettid() == pid, "the leader is now %d", gettid());
	barrier_post(go);
	check(pthread_join(id, NULL) == 0, "pthread_join");
	return 0;
}

int main(int argc, char **argv)
{
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	/* A young machine has no ids to spare below, an old one none above. */
	if (getpid() < 2 * ABOVE)
		next_id(getpid() + ABOVE);
	pid = test_fork(child, NULL);
	barrier_wait(ready, 2);
	test_daemon();
	test_waitsig();
	test_join(pid);
	return pass();
}
