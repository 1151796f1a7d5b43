/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Thousands of POSIX timers: each is there under its number, with its interval, and armed. */
#include "zdtm.h"

#include <linux/types.h>
#include <sys/resource.h>
#include <time.h>

enum { MOST = 3000, HOUR = 3600 };

int main(int argc, char **argv)
{
	struct sigevent none = { .sigev_notify = SIGEV_NONE };
	static timer_t timers[MOST];
	struct itimerspec value = { 0 };
	struct rlimit limit;
	int count = MOST;

	test_init(argc, argv);
	/* Each counts as a signal; a small machine allows fewer, and others of this user may have some. */
	check(getrlimit(RLIMIT_SIGPENDING, &limit) == 0, "getrlimit");
	while ((rlim_t)count > limit.rlim_cur / 2)
		count /= 2;
	for (int i = 0; i < count; i++) {
		check(timer_create(CLOCK_MONOTONIC, &none, &timers[i]) == 0, "timer_create %d", i);
		value.it_interval.tv_sec = i + 1;
		value.it_value.tv_sec = HOUR;
		check(timer_settime(timers[i], 0, &value, NULL) == 0, "timer_settime %d", i);
	}
	test_daemon();
	test_waitsig();
	for (int i = 0; i < count; i++) {
		check(timer_gettime(timers[i], &value) == 0, "timer %d is gone", i);
		check(value.it_interval.tv_sec == i + 1, "timer %d: interval %ld", i, (long)value.it_interval.tv_sec);
		check(value.it_value.tv_sec > HOUR / 2, "timer %d: %ld left", i, (long)value.it_value.tv_sec);
	}
	return pass();
}
