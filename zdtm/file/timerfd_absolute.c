/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Timers of absolute time (TFD_TIMER_ABSTIME, also with TFD_TIMER_CANCEL_ON_SET): the time that is left, the flags, and
 * that they expire. */
#include "zdtm.h"

#include <poll.h>
#include <sys/timerfd.h>
#include <time.h>

#ifndef TFD_TIMER_CANCEL_ON_SET
#define TFD_TIMER_CANCEL_ON_SET (1 << 1)
#endif

static int start(int clock, int flags, int seconds)
{
	struct itimerspec timer = { 0 };
	int fd = timerfd_create(clock, TFD_NONBLOCK);

	check(fd >= 0 && clock_gettime(clock, &timer.it_value) == 0, "timerfd_create");
	timer.it_value.tv_sec += seconds;
	check(timerfd_settime(fd, flags, &timer, NULL) == 0, "timerfd_settime");
	return fd;
}

static void check_timer(int fd, const char *flags)
{
	struct itimerspec timer;
	char path[64], value[16];

	check(timerfd_gettime(fd, &timer) == 0, "timerfd_gettime");
	check(timer.it_value.tv_sec > 500 && timer.it_value.tv_sec <= 1000, "%lld s are left",
	      (long long)timer.it_value.tv_sec);
	snprintf(path, sizeof(path), "self/fdinfo/%d", fd);
	proc_field(path, "settime flags", value, sizeof(value));
	check(!strcmp(value, flags), "flags are %s", value);
}

int main(int argc, char **argv)
{
	int monotonic, real, soon;
	uint64_t ticks;

	test_init(argc, argv);
	monotonic = start(CLOCK_MONOTONIC, TFD_TIMER_ABSTIME, 1000);
	real = start(CLOCK_REALTIME, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, 1000);
	soon = start(CLOCK_BOOTTIME, TFD_TIMER_ABSTIME, 1);

	test_daemon();
	test_waitsig();

	check_timer(monotonic, "01");
	check_timer(real, "03");
	check(poll(&(struct pollfd){ .fd = soon, .events = POLLIN }, 1, 60000) == 1, "it does not expire");
	check(read(soon, &ticks, sizeof(ticks)) == sizeof(ticks) && ticks == 1, "read");
	return pass();
}
