/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Thread local storage: each thread finds its own values, at the same address. */
#include "zdtm.h"

#include <pthread.h>

enum { THREADS = 4 };

static __thread uint64_t number = 77;
static __thread char block[3000];
static struct barrier *ready, *go;

static void *thread(void *argument)
{
	const uint32_t seed = (uintptr_t)argument;
	void *address = block;

	number = seed * 1000;
	pattern_fill(block, sizeof(block), seed);
	barrier_post(ready);
	barrier_wait(go, 1);
	check(address == block, "the block of thread %u moved from %p to %p", seed, address, block);
	check(number == seed * 1000, "number of thread %u is %ju", seed, number);
	check(pattern_holds(block, sizeof(block), seed), "block of thread %u has changed", seed);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	for (uintptr_t i = 0; i < THREADS; i++)
		check(pthread_create(&threads[i], NULL, thread, (void *)(i + 1)) == 0, "thread %zu", i);
	pattern_fill(block, sizeof(block), 99);
	barrier_wait(ready, THREADS);
	test_daemon();
	test_waitsig();
	barrier_post(go);
	for (int i = 0; i < THREADS; i++)
		check(pthread_join(threads[i], NULL) == 0, "join of thread %d", i);
	check(number == 77, "number of the main thread is %ju", number);
	check(pattern_holds(block, sizeof(block), 99), "block of the main thread has changed");
	return pass();
}
