/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A child sleeps for a second while it is dumped: neither EINTR, nor too short. */
#include "zdtm.h"

#include <time.h>

static int child(void *argument)
{
	const struct timespec second = { .tv_sec = 1 };
	struct timespec start, end, left = { 0 };
	double slept;
	int result;

	clock_gettime(CLOCK_MONOTONIC, &start);
	barrier_post(argument);
	result = nanosleep(&second, &left);
	clock_gettime(CLOCK_MONOTONIC, &end);
	check(result == 0, "nanosleep was interrupted with %ld.%09ld s left", (long)left.tv_sec, left.tv_nsec);
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
