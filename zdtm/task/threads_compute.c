/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A generator of pseudo random numbers per thread; the results must be those of an undisturbed run. */
#include "zdtm.h"

#include <pthread.h>

enum { THREADS = 4 };

struct run {
	uint64_t state, steps;
	double sum;
};

static struct barrier *ready;

static void step(struct run *run)
{
	run->state = run->state * 6364136223846793005u + 1442695040888963407u;
	run->sum = run->sum * 0.5 + (double)(run->state >> 40);
	run->steps++;
}

static void *compute(void *argument)
{
	struct run *run = argument;

	barrier_post(ready);
	/* The limit keeps the second run, below, short; then the thread waits. */
	while (test_go() && run->steps < 400000000)
		step(run);
	test_waitsig();
	return NULL;
}

int main(int argc, char **argv)
{
	struct run runs[THREADS], again;
	pthread_t threads[THREADS];

	test_init(argc, argv);
	ready = barrier_new();
	for (uint64_t i = 0; i < THREADS; i++) {
		runs[i] = (struct run){ .state = i };
		check(pthread_create(&threads[i], NULL, compute, &runs[i]) == 0, "pthread_create");
	}
	barrier_wait(ready, THREADS);
	test_daemon();
	test_waitsig();
	for (uint64_t i = 0; i < THREADS; i++) {
		check(pthread_join(threads[i], NULL) == 0, "pthread_join");
		again = (struct run){ .state = i };
		while (again.steps < runs[i].steps)
			step(&again);
		check(again.state == runs[i].state && again.sum == runs[i].sum, "thread %ju went wrong after %ju steps",
		      (uintmax_t)i, (uintmax_t)runs[i].steps);
	}
	return pass();
}
