/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A program may count on the numbers of its timers: they stay, and so do the holes between them. */
#include "zdtm.h"

#include <linux/types.h>
#include <time.h>

enum { TIMERS = 9 };

int main(int argc, char **argv)
{
	struct sigevent event = { .sigev_notify = SIGEV_NONE };
	struct itimerspec now;
	int ids[TIMERS];

	test_init(argc, argv);
	for (int i = 0; i < TIMERS; i++)
		check(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &ids[i]) == 0, "timer_create %d", i);
	/* The first, one in the middle, two in a row, the last. */
	for (int i = 0; i < TIMERS; i++)
		if (i == 0 || i == 3 || i == 5 || i == 6 || i == 8)
			check(syscall(SYS_timer_delete, ids[i]) == 0, "timer_delete %d", ids[i]);
	test_daemon();
	test_waitsig();
	for (int i = 0; i < TIMERS; i++) {
		const bool kept = !(i == 0 || i == 3 || i == 5 || i == 6 || i == 8);
		const long result = syscall(SYS_timer_gettime, ids[i], &now);

		check((result == 0) == kept, "timer %d is %s", ids[i], kept ? "gone" : "there");
	}
	return pass();
}
