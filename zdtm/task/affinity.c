/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Both threads are tied to one processor: the main thread to the first, the other to the last that is allowed. */
#include "zdtm.h"

#include <pthread.h>
#include <sched.h>

static struct barrier *ready, *go;

static void tie(int cpu, cpu_set_t *set)
{
	CPU_ZERO(set);
	CPU_SET(cpu, set);
	check(sched_setaffinity(0, sizeof(*set), set) == 0, "sched_setaffinity %d", cpu);
}

static void verify(const cpu_set_t *expected)
{
	cpu_set_t now;

	check(sched_getaffinity(0, sizeof(now), &now) == 0, "sched_getaffinity");
	check(CPU_EQUAL(&now, expected), "the thread may run on %d processors", CPU_COUNT(&now));
}

static void *thread(void *argument)
{
	cpu_set_t set;

	tie(*(int *)argument, &set);
	barrier_post(ready);
	barrier_wait(go, 1);
	verify(&set);
	return NULL;
}

int main(int argc, char **argv)
{
	int first = 0, last = CPU_SETSIZE - 1;
	pthread_t other;
	cpu_set_t set;

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	check(sched_getaffinity(0, sizeof(set), &set) == 0, "sched_getaffinity");
	check(CPU_COUNT(&set) > 1, "with one processor there is no choice to be kept");
	while (!CPU_ISSET(first, &set))
		first++;
	while (!CPU_ISSET(last, &set))
		last--;
	check(pthread_create(&other, NULL, thread, &last) == 0, "pthread_create");
	tie(first, &set);
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	verify(&set);
	barrier_post(go);
	check(pthread_join(other, NULL) == 0, "pthread_join");
	return pass();
}
