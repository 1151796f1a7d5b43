/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Threads are dumped between instructions of which the later ones do what the earlier ones have decided. */
#include "zdtm.h"
#include "conditions.h"

#include <pthread.h>

enum { THREADS = 8 };

static void *spin(void *argument)
{
	barrier_post(argument);
	check(machine_spin_conditions(&test_terminated) == 0, "an instruction did what its condition forbids");
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	struct barrier *ready;

	test_init(argc, argv);
	ready = barrier_new();
	for (int i = 0; i < THREADS; i++)
		check(pthread_create(&threads[i], NULL, spin, ready) == 0, "thread %d", i);
	barrier_wait(ready, THREADS);
	test_daemon();
	test_waitsig();
	for (int i = 0; i < THREADS; i++)
		check(pthread_join(threads[i], NULL) == 0, "join of thread %d", i);
	return pass();
}
