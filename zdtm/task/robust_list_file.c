/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A robust mutex in a shared file: the dump ends its owner, who comes back, so that nobody finds it orphaned. */
#include "zdtm.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>

static pthread_mutex_t *mutexes; /* one of the leader's, one of another thread */
static struct barrier *ready, *go;

static void *thread(void *argument)
{
	check(pthread_mutex_lock(&mutexes[1]) == 0, "lock");
	barrier_post(ready);
	barrier_wait(go, 1);
	check(pthread_mutex_unlock(&mutexes[1]) == 0, "the thread has lost its mutex");
	return argument;
}

static int other(void *argument)
{
	int i, result;

	for (i = 0; i < 2; i++) {
		result = pthread_mutex_trylock(&mutexes[i]);
		check(result == 0, "mutex %d: %s", i, strerror(result));
	}
	test_waitsig();
	return argument != NULL;
}

int main(int argc, char **argv)
{
	pthread_mutexattr_t attributes;
	pthread_t owner;
	int fd, i;

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	fd = open(test_filename, O_RDWR | O_CREAT, 0600);
	check(fd >= 0 && ftruncate(fd, page_size()) == 0, "open");
	mutexes = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(mutexes != MAP_FAILED, "mmap");
	pthread_mutexattr_init(&attributes);
	check(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0, "setpshared");
	check(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0, "setrobust");
	for (i = 0; i < 2; i++)
		check(pthread_mutex_init(&mutexes[i], &attributes) == 0, "mutex");
	check(pthread_create(&owner, NULL, thread, NULL) == 0, "pthread_create");
	check(pthread_mutex_lock(&mutexes[0]) == 0, "lock");
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	for (i = 0; i < 2; i++)
		check(pthread_mutex_trylock(&mutexes[i]) == EBUSY, "mutex %d is not locked", i);
	barrier_post(go);
	check(pthread_join(owner, NULL) == 0, "pthread_join");
	check(pthread_mutex_unlock(&mutexes[0]) == 0, "the leader has lost its mutex");
	test_join(test_fork(other, NULL));
	return pass();
}
