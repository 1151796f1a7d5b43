/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A hundred threads, parked on one futex, keep their ids and what they have on their stacks. */
#include "zdtm.h"

#include <pthread.h>

enum { THREADS = 100 };

static struct barrier *ready, *go;
static uint32_t sum;

static void *thread(void *argument)
{
	const uint32_t seed = (uintptr_t)argument;
	const pid_t tid = gettid();
	char stack[500];

	pattern_fill(stack, sizeof(stack), seed);
	barrier_post(ready);
	barrier_wait(go, 1);
	check(gettid() == tid, "thread %d is now %d", tid, gettid());
	check(pattern_holds(stack, sizeof(stack), seed), "stack of thread %u has changed", seed);
	__atomic_add_fetch(&sum, seed, __ATOMIC_SEQ_CST);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	for (uintptr_t i = 0; i < THREADS; i++)
		check(pthread_create(&threads[i], NULL, thread, (void *)i) == 0, "thread %zu", i);
	barrier_wait(ready, THREADS);
	test_daemon();
	test_waitsig();
	barrier_post(go);
	for (int i = 0; i < THREADS; i++)
		check(pthread_join(threads[i], NULL) == 0, "join of thread %d", i);
	check(sum == THREADS * (THREADS - 1) / 2, "the threads add up to %u", sum);
	return pass();
}
