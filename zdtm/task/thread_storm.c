/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Each thread hands over a number of its own; none is lost or comes twice. */
#include "zdtm.h"

#include <pthread.h>

enum { THREADS = 4 };

static void *thread(void *argument)
{
	return (void *)((uintptr_t)argument * 3 + 1);
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	uintptr_t rounds = 0;
	void *result;

	test_init(argc, argv);
	test_daemon();
	while (test_go()) {
		for (uintptr_t i = 0; i < THREADS; i++)
			check(pthread_create(&threads[i], NULL, thread, (void *)(rounds + i)) == 0, "pthread_create");
		for (uintptr_t i = 0; i < THREADS; i++) {
			check(pthread_join(threads[i], &result) == 0, "pthread_join");
			check(result == (void *)((rounds + i) * 3 + 1), "thread %zu of round %zu says %p", i, rounds, result);
		}
		rounds++;
	}
	check(rounds > 0, "no thread was created");
	return pass();
}
