/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* clock_nanosleep(2) with TIMER_ABSTIME, blocked while the test is dumped. */
#include "zdtm.h"

#include <time.h>

static int child(void *argument)
{
	struct timespec until, now;
	int result;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 1;
	barrier_post(argument);
	result = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	check(result == 0, "clock_nanosleep: %s", strerror(result));
	clock_gettime(CLOCK_MONOTONIC, &now);
	check(now.tv_sec > until.tv_sec || (now.tv_sec == until.tv_sec && now.tv_nsec >= until.tv_nsec), "too early");
	test_waitsig();
	return 0;
}

int main(int argc, char **argv)
{
	struct barrier *ready;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	pid = test_fork(child, ready);
	barrier_wait(ready, 1);
	wait_asleep(pid);
	test_daemon();
	test_waitsig();
	sleep(1);
	test_join(pid);
	return pass();
}
