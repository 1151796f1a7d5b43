/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Signals sent to single threads stay with their threads, and keep their siginfo. */
#include "zdtm.h"

#include <pthread.h>

enum { THREADS = 3, QUEUED = 5 };

static struct barrier *ready, *go;

static void queue(int thread, int i)
{
	siginfo_t info = { .si_signo = SIGRTMIN + 2, .si_code = SI_QUEUE };

	info.si_pid = getpid();
	info.si_uid = 4321;
	info.si_value.sival_int = thread * 100 + i;
	check(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), info.si_signo, &info) == 0, "tgsigqueueinfo %d", i);
}

static void take(const sigset_t *set, int thread, int i)
{
	const struct timespec now = { 0 };
	siginfo_t info;

	check(sigtimedwait(set, &info, &now) == SIGRTMIN + 2, "thread %d has no signal %d", thread, i);
	check(info.si_value.sival_int == thread * 100 + i, "thread %d has value %d", thread, info.si_value.sival_int);
	check(info.si_code == SI_QUEUE && info.si_pid == getpid() && info.si_uid == 4321,
	      "thread %d: code %d, pid %d, uid %d", thread, info.si_code, info.si_pid, info.si_uid);
}

static void *thread(void *argument)
{
	const int number = (uintptr_t)argument;
	const struct timespec now = { 0 };
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 2);
	check(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0, "pthread_sigmask");
	for (int i = 0; i < QUEUED; i++)
		queue(number, i);
	barrier_post(ready);
	barrier_wait(go, 1);
	for (int i = 0; i < QUEUED; i++)
		take(&set, number, i);
	check(sigtimedwait(&set, &info, &now) == -1 && errno == EAGAIN, "thread %d has one more signal", number);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	for (uintptr_t i = 0; i < THREADS; i++)
		check(pthread_create(&threads[i], NULL, thread, (void *)(i + 1)) == 0, "thread %zu", i);
	barrier_wait(ready, THREADS);
	test_daemon();
	test_waitsig();
	barrier_post(go);
	for (int i = 0; i < THREADS; i++)
		check(pthread_join(threads[i], NULL) == 0, "join of thread %d", i);
	return pass();
}
