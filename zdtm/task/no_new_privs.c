/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* PR_SET_NO_NEW_PRIVS, given by a thread and not by the main one. */
#include "zdtm.h"

#include <pthread.h>
#include <sys/prctl.h>

static struct barrier *ready, *go;

static void *thread(void *argument)
{
	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "PR_SET_NO_NEW_PRIVS");
	barrier_post(ready);
	barrier_wait(go, 1);
	check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "the promise of the thread is lost");
	return argument;
}

static int child(void *argument)
{
	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "PR_SET_NO_NEW_PRIVS");
	barrier_post(argument);
	test_waitsig();
	check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "the promise of the child is lost");
	return 0;
}

int main(int argc, char **argv)
{
	pthread_t other;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	pid = test_fork(child, ready);
	check(pthread_create(&other, NULL, thread, NULL) == 0, "pthread_create");
	barrier_wait(ready, 2);
	test_daemon();
	test_waitsig();
	check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0, "the main thread promises, too");
	barrier_post(go);
	check(pthread_join(other, NULL) == 0, "pthread_join");
	test_join(pid);
	return pass();
}
