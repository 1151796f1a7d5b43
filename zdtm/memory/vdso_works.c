/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The C library calls the functions of the vdso by the addresses it found at start. */
#include "zdtm.h"

#include <sched.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <time.h>

static double seconds(clockid_t clock)
{
	struct timespec now;

	check(clock_gettime(clock, &now) == 0, "clock_gettime %d", clock);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
	static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_COARSE };
	double before[ARRAY_SIZE(clocks)];
	unsigned long address;
	struct timeval now;
	struct vma vma;

	test_init(argc, argv);
	address = getauxval(AT_SYSINFO_EHDR);
	check(address, "there is no vdso");
	for (size_t i = 0; i < ARRAY_SIZE(clocks); i++)
		before[i] = seconds(clocks[i]);
	test_daemon();
	test_waitsig();
	check(getauxval(AT_SYSINFO_EHDR) == address, "the vdso has moved");
	check(find_vma((void *)address, &vma) && !strcmp(vma.name, "[vdso]"), "at its address is '%s'", vma.name);
	check(!memcmp((void *)address, "\177ELF", 4), "at its address is no ELF file");
	for (size_t i = 0; i < ARRAY_SIZE(clocks); i++)
		check(seconds(clocks[i]) >= before[i] && seconds(clocks[i]) < before[i] + 3600, "clock %d: %f", clocks[i],
		      seconds(clocks[i]));
	check(gettimeofday(&now, NULL) == 0 && now.tv_sec >= (time_t)before[0], "gettimeofday");
	check(sched_getcpu() >= 0 && time(NULL) >= (time_t)before[0], "getcpu, time");
	return pass();
}
