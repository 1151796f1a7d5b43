/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* SIGEV_THREAD_ID: the signal reaches the thread that was named, although all threads would take it. */
#include "zdtm.h"

#include <pthread.h>
#include <time.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static struct barrier *ready, *hit;
static volatile pid_t receiver;
static timer_t timer;

static void on_signal(int signal)
{
	(void)signal;
	receiver = gettid();
	barrier_post(hit);
}

static void *thread(void *argument)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };

	event.sigev_notify_thread_id = gettid();
	*(pid_t *)argument = gettid();
	check(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "timer_create");
	barrier_post(ready);
	barrier_wait(hit, 1);
	return NULL;
}

int main(int argc, char **argv)
{
	const struct itimerspec soon = { .it_value.tv_nsec = 1 };
	struct sigaction action = { .sa_handler = on_signal };
	pthread_t other;
	pid_t tid;

	test_init(argc, argv);
	ready = barrier_new();
	hit = barrier_new();
	check(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
	check(pthread_create(&other, NULL, thread, &tid) == 0, "pthread_create");
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	check(timer_settime(timer, 0, &soon, NULL) == 0, "timer_settime");
	check(pthread_join(other, NULL) == 0, "pthread_join");
	check(receiver == tid, "thread %d got the signal, expected %d", receiver, tid);
	return pass();
}
