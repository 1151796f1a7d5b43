/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* PR_SET_TIMERSLACK is per thread. */
#include "zdtm.h"

#include <pthread.h>
#include <sys/prctl.h>

static struct barrier *ready, *go;

static void *thread(void *argument)
{
	check(prctl(PR_SET_TIMERSLACK, 654321) == 0, "PR_SET_TIMERSLACK");
	barrier_post(ready);
	barrier_wait(go, 1);
	check(prctl(PR_GET_TIMERSLACK) == 654321, "slack of the thread is %d ns", prctl(PR_GET_TIMERSLACK));
	return argument;
}

int main(int argc, char **argv)
{
	pthread_t other;

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	check(pthread_create(&other, NULL, thread, NULL) == 0, "pthread_create");
	check(prctl(PR_SET_TIMERSLACK, 123456) == 0, "PR_SET_TIMERSLACK");
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	check(prctl(PR_GET_TIMERSLACK) == 123456, "slack is %d ns", prctl(PR_GET_TIMERSLACK));
	barrier_post(go);
	check(pthread_join(other, NULL) == 0, "pthread_join");
	return pass();
}
