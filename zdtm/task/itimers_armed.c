/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* ITIMER_REAL, ITIMER_VIRTUAL and ITIMER_PROF stay armed with their intervals. */
#include "zdtm.h"

#include <sys/time.h>

static const struct itimerval chosen[] = {
	[ITIMER_REAL] = { .it_value = { 5000, 1 }, .it_interval = { 7, 250000 } },
	[ITIMER_VIRTUAL] = { .it_value = { 6000, 2 }, .it_interval = { 8, 500000 } },
	[ITIMER_PROF] = { .it_value = { 7000, 3 }, .it_interval = { 9, 750000 } },
};

int main(int argc, char **argv)
{
	struct itimerval now;

	test_init(argc, argv);
	for (size_t i = 0; i < ARRAY_SIZE(chosen); i++)
		check(setitimer(i, &chosen[i], NULL) == 0, "setitimer %zu", i);
	test_daemon();
	test_waitsig();
	for (size_t i = 0; i < ARRAY_SIZE(chosen); i++) {
		check(getitimer(i, &now) == 0, "getitimer %zu", i);
		check(now.it_interval.tv_sec == chosen[i].it_interval.tv_sec, "interval of timer %zu: %ld s", i,
		      (long)now.it_interval.tv_sec);
		/* The clocks of processor time count in ticks, and round up. */
		check(labs((long)(now.it_interval.tv_usec - chosen[i].it_interval.tv_usec)) <= 20000,
		      "interval of timer %zu: %ld us", i, (long)now.it_interval.tv_usec);
		check(now.it_value.tv_sec <= chosen[i].it_value.tv_sec, "timer %zu went up to %ld s", i,
		      (long)now.it_value.tv_sec);
		check(now.it_value.tv_sec > chosen[i].it_value.tv_sec - 300, "timer %zu went down to %ld s", i,
		      (long)now.it_value.tv_sec);
	}
	return pass();
}
