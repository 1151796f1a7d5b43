/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Batch, idle, and ordinary threads, each with another nice value, one that resets on fork. */
#include "zdtm.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

static const struct {
	int policy, nice;
} chosen[] = { { SCHED_OTHER, 3 }, { SCHED_BATCH, 5 }, { SCHED_IDLE, 7 }, { SCHED_BATCH | SCHED_RESET_ON_FORK, 0 } };

static struct barrier *ready, *go;

static void *thread(void *argument)
{
	const size_t i = (uintptr_t)argument;
	const struct sched_param param = { 0 };

	check(sched_setscheduler(0, chosen[i].policy, &param) == 0, "sched_setscheduler %zu", i);
	check(setpriority(PRIO_PROCESS, gettid(), chosen[i].nice) == 0, "setpriority %zu", i);
	barrier_post(ready);
	barrier_wait(go, 1);
	check(sched_getscheduler(0) == chosen[i].policy, "policy of %zu is %#x", i, sched_getscheduler(0));
	check(getpriority(PRIO_PROCESS, gettid()) == chosen[i].nice, "nice of %zu is %d", i,
	      getpriority(PRIO_PROCESS, gettid()));
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[ARRAY_SIZE(chosen)];

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	for (uintptr_t i = 0; i < ARRAY_SIZE(chosen); i++)
		check(pthread_create(&threads[i], NULL, thread, (void *)i) == 0, "thread %zu", i);
	barrier_wait(ready, ARRAY_SIZE(chosen));
	test_daemon();
	test_waitsig();
	barrier_post(go);
	for (size_t i = 0; i < ARRAY_SIZE(chosen); i++)
		check(pthread_join(threads[i], NULL) == 0, "join of thread %zu", i);
	return pass();
}
