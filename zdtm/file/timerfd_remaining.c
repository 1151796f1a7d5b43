/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* timerfd_create(2): what a timer of each clock has left, and its interval. */
#include "zdtm.h"

#include <sys/timerfd.h>
#include <time.h>

#define LEFT 5000

static const int clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME };

int main(int argc, char **argv)
{
	int armed[ARRAY_SIZE(clocks)], idle[ARRAY_SIZE(clocks)];
	struct itimerspec timer;
	char clock[16];
	char path[64];
	size_t i;

	test_init(argc, argv);
	for (i = 0; i < ARRAY_SIZE(clocks); i++) {
		armed[i] = timerfd_create(clocks[i], TFD_NONBLOCK);
		idle[i] = timerfd_create(clocks[i], TFD_CLOEXEC);
		check(armed[i] >= 0 && idle[i] >= 0, "timerfd_create");
		timer = (struct itimerspec){ { 7 + i, 250 }, { LEFT + i, 500 } };
		check(timerfd_settime(armed[i], 0, &timer, NULL) == 0, "timerfd_settime");
	}

	test_daemon();
	test_waitsig();

	for (i = 0; i < ARRAY_SIZE(clocks); i++) {
		snprintf(path, sizeof(path), "self/fdinfo/%d", armed[i]);
		proc_field(path, "clockid", clock, sizeof(clock));
		check(atoi(clock) == clocks[i], "clock %d became %s", clocks[i], clock);
		check(timerfd_gettime(armed[i], &timer) == 0, "timerfd_gettime");
		check(timer.it_interval.tv_sec == (time_t)(7 + i) && timer.it_interval.tv_nsec == 250, "interval");
		check(timer.it_value.tv_sec > LEFT / 2 && timer.it_value.tv_sec <= (time_t)(LEFT + i),
		      "clock %d has %lld s left", clocks[i], (long long)timer.it_value.tv_sec);
		check(timerfd_gettime(idle[i], &timer) == 0, "timerfd_gettime");
		check(!timer.it_value.tv_sec && !timer.it_value.tv_nsec, "an idle timer runs");
	}
	return pass();
}
