/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The second thread pointer, which the C library leaves alone, has a value of its own in each thread. */
#include "zdtm.h"

#if defined(__aarch64__)

#include <pthread.h>

#define SECOND "S3_3_C13_C0_5" /* TPIDR2_EL0 */

static struct barrier *ready, *go;

static void keep(uint64_t value)
{
	uint64_t now;

	asm volatile("msr " SECOND ", %0" : : "r"(value));
	barrier_post(ready);
	if (value == 1) {
		barrier_wait(ready, 2);
		test_daemon();
		test_waitsig();
		barrier_post(go);
	}
	barrier_wait(go, 1);
	asm volatile("mrs %0, " SECOND : "=r"(now));
	check(now == value, "the second thread pointer is %#jx, expected %#jx", now, value);
}

static void *thread(void *argument)
{
	(void)argument;
	keep(0xfeed0000beef);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t other;

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	check(pthread_create(&other, NULL, thread, NULL) == 0, "pthread_create");
	keep(1);
	check(pthread_join(other, NULL) == 0, "pthread_join");
	return pass();
}

#else

int main(int argc, char **argv)
{
	test_init(argc, argv);
	return fail("this machine has no second thread pointer");
}

#endif
