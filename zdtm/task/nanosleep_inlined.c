/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A child sleeps in a system call of its own code. Where a processor has two instruction sets, that is of the other one
 * than the C library's: the system call instruction that is to be made again has another length. */
#include "machine.h"

#include <time.h>

/* Both take the machine's long; returns as the kernel does. */
MACHINE_CODE __attribute__((noinline)) static long sleep_here(const long *wanted, long *left)
{
#if defined(__arm__)
	register const long *r0 asm("r0") = wanted;
	register long *r1 asm("r1") = left;
	register long r7 asm("r7") = SYS_nanosleep;

	asm volatile("svc 0" : "+r"(r0) : "r"(r1), "r"(r7) : "memory");
	return (long)r0;
#else
	return syscall(SYS_nanosleep, wanted, left) ? -errno : 0;
#endif
}

static int child(void *argument)
{
	const long second[2] = { 1, 0 };
	long left[2] = { 0, 0 }, result;
	struct timespec start, end;
	double slept;

	clock_gettime(CLOCK_MONOTONIC, &start);
	barrier_post(argument);
	result = sleep_here(second, left);
	clock_gettime(CLOCK_MONOTONIC, &end);
	check(result == 0, "nanosleep returned %ld with %ld.%09ld s left", result, left[0], left[1]);
	slept = end.tv_sec - start.tv_sec + (end.tv_nsec - start.tv_nsec) * 1e-9;
	check(slept >= 1.0, "slept only %f s", slept);
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
	/* A second later the child is surely awake; SIGTERM must not be what wakes it. */
	sleep(1);
	test_join(pid);
	return pass();
}
