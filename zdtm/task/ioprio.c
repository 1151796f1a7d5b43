/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* ioprio_set(2) has no wrapper and no header; see Documentation/block/ioprio.rst. */
#include "zdtm.h"

#include <pthread.h>

enum { WHO_PROCESS = 1, CLASS_SHIFT = 13, BEST_EFFORT = 2, IDLE = 3 };

static struct barrier *ready, *go;

static void *thread(void *argument)
{
	const int chosen = IDLE << CLASS_SHIFT;

	check(syscall(SYS_ioprio_set, WHO_PROCESS, 0, chosen) == 0, "ioprio_set");
	barrier_post(ready);
	barrier_wait(go, 1);
	check(syscall(SYS_ioprio_get, WHO_PROCESS, 0) >> CLASS_SHIFT == IDLE, "ioprio of the thread is %#lx",
	      syscall(SYS_ioprio_get, WHO_PROCESS, 0));
	return argument;
}

int main(int argc, char **argv)
{
	const int chosen = BEST_EFFORT << CLASS_SHIFT | 6;
	pthread_t other;

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	check(pthread_create(&other, NULL, thread, NULL) == 0, "pthread_create");
	check(syscall(SYS_ioprio_set, WHO_PROCESS, 0, chosen) == 0, "ioprio_set");
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	check(syscall(SYS_ioprio_get, WHO_PROCESS, 0) == chosen, "ioprio is %#lx", syscall(SYS_ioprio_get, WHO_PROCESS, 0));
	barrier_post(go);
	check(pthread_join(other, NULL) == 0, "pthread_join");
	return pass();
}
