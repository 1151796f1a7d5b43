/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Each thread blocks another set of signals. */
#include "zdtm.h"

#include <pthread.h>

enum { THREADS = 6 };

static struct barrier *ready, *go;

static void *thread(void *argument)
{
	const int own = SIGRTMAX - (uintptr_t)argument;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, own);
	sigaddset(&set, SIGUSR2);
	check(pthread_sigmask(SIG_SETMASK, &set, NULL) == 0, "pthread_sigmask");
	barrier_post(ready);
	barrier_wait(go, 1);
	check(pthread_sigmask(SIG_SETMASK, NULL, &set) == 0, "pthread_sigmask");
	for (int signal = 1; signal <= SIGRTMAX; signal++) {
		const bool expected = signal == own || signal == SIGUSR2;

		/* The C library keeps its own two signals to itself. */
		if (signal >= 32 && signal < SIGRTMIN)
			continue;
		check(sigismember(&set, signal) == expected, "signal %d is %sblocked", signal, expected ? "not " : "");
	}
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
	return pass();
}
