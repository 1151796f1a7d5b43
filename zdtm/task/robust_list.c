/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A thread that dies with a robust mutex locked leaves it marked, for the one who waits. */
#include "zdtm.h"

#include <linux/futex.h>
#include <pthread.h>

static pthread_mutex_t mutex;
static struct barrier *ready, *go;

static void *thread(void *argument)
{
	struct robust_list_head *before, *after;
	size_t size;

	check(syscall(SYS_get_robust_list, 0, &before, &size) == 0 && before, "get_robust_list");
	check(pthread_mutex_lock(&mutex) == 0, "lock");
	barrier_post(ready);
	barrier_wait(go, 1);
	check(syscall(SYS_get_robust_list, 0, &after, &size) == 0, "get_robust_list");
	check(after == before && size == sizeof(*after), "the list moved from %p to %p", before, after);
	return argument; /* with the mutex locked */
}

int main(int argc, char **argv)
{
	pthread_mutexattr_t attributes;
	pthread_t owner;
	int result;

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	pthread_mutexattr_init(&attributes);
	check(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0, "setrobust");
	check(pthread_mutex_init(&mutex, &attributes) == 0, "mutex");
	check(pthread_create(&owner, NULL, thread, NULL) == 0, "pthread_create");
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	check(pthread_mutex_trylock(&mutex) == EBUSY, "the mutex is not locked");
	barrier_post(go);
	result = pthread_mutex_lock(&mutex);
	check(result == EOWNERDEAD, "lock says %s", strerror(result));
	check(pthread_mutex_consistent(&mutex) == 0 && pthread_mutex_unlock(&mutex) == 0, "unlock");
	check(pthread_join(owner, NULL) == 0, "pthread_join");
	return pass();
}
