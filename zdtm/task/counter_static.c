/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A loop over a counter goes on with the next number: neither lost, nor repeated, nor started again. */
#include "zdtm.h"

#include <time.h>

static volatile uint64_t counter;
static uint64_t steps;

int main(int argc, char **argv)
{
	uint64_t before;

	test_init(argc, argv);
	counter = 1000;
	test_daemon();
	while (test_go()) {
		const struct timespec pause = { .tv_nsec = 100 * 1000 };

		before = counter;
		nanosleep(&pause, NULL);
		check(counter == before, "the counter moved from %ju to %ju by itself", before, counter);
		counter++;
		steps++;
	}
	errno = 0;
	check(steps > 0, "no step was made");
	check(counter == 1000 + steps, "the counter is %ju after %ju steps", counter, steps);
	return pass();
}
