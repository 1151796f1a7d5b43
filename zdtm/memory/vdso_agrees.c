/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A clock that is read without a system call (vdso(7)) lies between two readings with one. Nothing is remembered of the
 * time before the dump: another machine has other clocks. */
#include "zdtm.h"

#include <time.h>

static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME };

/* The call whose times have 64 bits; only machines of 32 bits have two. */
#ifndef SYS_clock_gettime64
#define SYS_clock_gettime64 SYS_clock_gettime
#endif

static double asked(clockid_t clock)
{
	struct {
		int64_t seconds, nanoseconds;
	} now;

	check(syscall(SYS_clock_gettime64, clock, &now) == 0, "clock_gettime %d", clock);
	return now.seconds + now.nanoseconds * 1e-9;
}

static double read_here(clockid_t clock)
{
	struct timespec now;

	check(clock_gettime(clock, &now) == 0, "the vdso's clock %d", clock);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

static void compare(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(clocks); i++) {
		const double before = asked(clocks[i]), here = read_here(clocks[i]), after = asked(clocks[i]);

		/* Doubles of seconds since 1970 are exact to a quarter of a microsecond. */
		check(before - 1e-6 <= here && here <= after + 1e-6, "clock %d: %f is not between %f and %f", clocks[i],
		      here, before, after);
	}
}

int main(int argc, char **argv)
{
	test_init(argc, argv);
	compare();
	test_daemon();
	test_waitsig();
	for (int i = 0; i < 100; i++)
		compare();
	return pass();
}
