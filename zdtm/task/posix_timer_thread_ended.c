/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A timer whose thread (SIGEV_THREAD_ID) has ended runs on, tells nobody, and can be set again. */
#include "zdtm.h"

#include <pthread.h>
#include <time.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { HOUR = 3600, TICK_NS = 10000 };

static timer_t timer;

static void *thread(void *unused)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };

	event.sigev_notify_thread_id = gettid();
	check(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "timer_create");
	return unused;
}

int main(int argc, char **argv)
{
	const struct itimerspec slow = { .it_interval.tv_sec = 2 * HOUR, .it_value.tv_sec = HOUR };
	const struct itimerspec fast = { .it_value.tv_nsec = TICK_NS };
	struct itimerspec now;
	pthread_t other;

	test_init(argc, argv);
	check(pthread_create(&other, NULL, thread, NULL) == 0, "pthread_create");
	check(pthread_join(other, NULL) == 0, "pthread_join");
	check(timer_settime(timer, 0, &slow, NULL) == 0, "timer_settime");
	test_daemon();
	test_waitsig();
	check(timer_gettime(timer, &now) == 0, "timer_gettime");
	check(now.it_interval.tv_sec == 2 * HOUR, "the interval is %ld s", (long)now.it_interval.tv_sec);
	check(now.it_value.tv_sec > 0 && now.it_value.tv_sec <= HOUR, "%ld s remain", (long)now.it_value.tv_sec);
	/* SIGUSR1 would end the program. */
	check(timer_settime(timer, 0, &fast, NULL) == 0, "timer_settime");
	do
		check(timer_gettime(timer, &now) == 0, "timer_gettime");
	while (now.it_value.tv_nsec != 0);
	check(timer_delete(timer) == 0, "timer_delete");
	return pass();
}
