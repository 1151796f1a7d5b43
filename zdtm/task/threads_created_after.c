/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* New threads beside the restored one, with thread local storage, a lock and a condition that waits. */
#include "zdtm.h"

#include <pthread.h>

enum { THREADS = 20 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static __thread int own = 5;
static int arrived;

static void *thread(void *argument)
{
	check(own == 5, "a new thread begins with %d", own);
	own = (intptr_t)argument;
	pthread_mutex_lock(&mutex);
	arrived++;
	pthread_cond_broadcast(&condition);
	while (arrived < THREADS)
		pthread_cond_wait(&condition, &mutex);
	pthread_mutex_unlock(&mutex);
	check(own == (intptr_t)argument, "thread %zd has %d", (intptr_t)argument, own);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	test_init(argc, argv);
	/* This one sleeps in the condition while it is dumped. */
	check(pthread_create(&threads[0], NULL, thread, (void *)0) == 0, "pthread_create");
	pthread_mutex_lock(&mutex);
	while (arrived < 1)
		pthread_cond_wait(&condition, &mutex);
	pthread_mutex_unlock(&mutex);
	test_daemon();
	test_waitsig();
	for (intptr_t i = 1; i < THREADS; i++)
		check(pthread_create(&threads[i], NULL, thread, (void *)i) == 0, "pthread_create %zd", i);
	for (int i = 0; i < THREADS; i++)
		check(pthread_join(threads[i], NULL) == 0, "join of thread %d", i);
	check(own == 5, "the main thread has %d", own);
	return pass();
}
