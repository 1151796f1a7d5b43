/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Stacks from 256 KiB to 8 MiB, each in use down to half of its size. */
#include "zdtm.h"

#include <pthread.h>

static const size_t sizes[] = { 256 << 10, 512 << 10, 1 << 20, 8 << 20 };
static struct barrier *ready, *go;

static uint64_t descend(size_t left, uint64_t seed)
{
	volatile uint64_t frame[512];
	uint64_t sum;

	for (size_t i = 0; i < ARRAY_SIZE(frame); i++)
		frame[i] = seed + i;
	if (left <= sizeof(frame)) {
		barrier_post(ready);
		barrier_wait(go, 1);
		sum = 0;
	} else {
		sum = descend(left - sizeof(frame), seed + 1);
	}
	for (size_t i = 0; i < ARRAY_SIZE(frame); i++)
		check(frame[i] == seed + i, "word %zu of frame %ju has changed", i, (uintmax_t)seed);
	return sum + 1;
}

static void *thread(void *argument)
{
	const size_t size = *(size_t *)argument;
	const size_t depth = size / 2 / 4096;

	check(descend(depth * 4096, size) == depth, "a frame is lost");
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[ARRAY_SIZE(sizes)];
	pthread_attr_t attributes;

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	pthread_attr_init(&attributes);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		check(pthread_attr_setstacksize(&attributes, sizes[i]) == 0, "stack size");
		check(pthread_create(&threads[i], &attributes, thread, (void *)&sizes[i]) == 0, "thread %zu", i);
	}
	barrier_wait(ready, ARRAY_SIZE(sizes));
	test_daemon();
	test_waitsig();
	barrier_post(go);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		check(pthread_join(threads[i], NULL) == 0, "join of thread %zu", i);
	return pass();
}
