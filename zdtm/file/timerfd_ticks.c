/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* timerfd_create(2): expirations that were not read yet, of a timer that expires once and of periodic ones. */
#include "zdtm.h"

#include <poll.h>
#include <sys/timerfd.h>
#include <time.h>

#define MS 1000000
/* Expirations before the dump: more than there can be after the restore. */
#define MISSED 20000

static int start(time_t seconds, long nanoseconds, struct timespec interval)
{
	struct itimerspec timer = { interval, { seconds, nanoseconds } };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);

	check(fd >= 0 && timerfd_settime(fd, 0, &timer, NULL) == 0, "timerfd");
	return fd;
}

static uint64_t ticks(int fd)
{
	uint64_t value = 0;

	check(read(fd, &value, sizeof(value)) == sizeof(value) || errno == EAGAIN, "read");
	errno = 0;
	return value;
}

int main(int argc, char **argv)
{
	struct itimerspec timer;
	int once, hourly, busy, spent;
	uint64_t count;

	test_init(argc, argv);
	once = start(0, 1, (struct timespec){ 0, 0 });
	spent = start(0, 1, (struct timespec){ 0, 0 });
	hourly = start(0, 1, (struct timespec){ 3600, 0 });
	busy = start(0, 1, (struct timespec){ 0, MS / 10 });
	usleep(MISSED * 100);
	check(ticks(spent) == 1, "the timer did not expire");

	test_daemon();
	test_waitsig();

	check(ticks(once) == 1 && ticks(once) == 0, "the expiration is gone, or there is another one");
	check(ticks(spent) == 0, "what was read can be read again");
	check(timerfd_gettime(once, &timer) == 0 && !timer.it_value.tv_sec && !timer.it_value.tv_nsec,
	      "a timer that has expired runs");
	check(ticks(hourly) == 1, "the first expiration is gone");
	check(timerfd_gettime(hourly, &timer) == 0 && timer.it_value.tv_sec > 1800, "%lld s are left",
	      (long long)timer.it_value.tv_sec);
	count = ticks(busy);
	check(count >= MISSED, "of %d expirations, %llu are left", MISSED, (unsigned long long)count);
	check(poll(&(struct pollfd){ .fd = busy, .events = POLLIN }, 1, -1) == 1, "the timer does not go on");
	return pass();
}
