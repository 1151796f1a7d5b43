/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Several threads spin at once, each with other values in its vector registers. */
#include "machine.h"

#include <pthread.h>

enum { THREADS = 8 };

static struct barrier *ready;

static void *spin(void *argument)
{
	const uint32_t seed = (uintptr_t)argument;
	const size_t size = machine_vectors_size();
	unsigned char *values = aligned_alloc(64, 4096);

	check(values, "no memory");
	pattern_fill(values, size, seed);
	barrier_post(ready);
	machine_spin_vectors(values);
	check(pattern_holds(values, size, seed), "registers of thread %u have changed", seed);
	free(values);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	test_init(argc, argv);
	ready = barrier_new();
	for (uintptr_t i = 0; i < THREADS; i++)
		check(pthread_create(&threads[i], NULL, spin, (void *)(i + 10)) == 0, "thread %zu", i);
	barrier_wait(ready, THREADS);
	test_daemon();
	test_waitsig();
	for (int i = 0; i < THREADS; i++)
		check(pthread_join(threads[i], NULL) == 0, "join of thread %d", i);
	return pass();
}
