/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Thread names, with bytes that a parser of /proc could stumble over. */
#include "zdtm.h"

#include <pthread.h>

static const char *const names[] = { "plain", "with blank", "a) R 1 (b", "fifteen bytes!!", "" };
static struct barrier *ready, *go;

static void *thread(void *argument)
{
	const char *name = argument;
	char now[16];

	check(pthread_setname_np(pthread_self(), name) == 0, "set name %s", name);
	barrier_post(ready);
	barrier_wait(go, 1);
	check(pthread_getname_np(pthread_self(), now, sizeof(now)) == 0, "get name %s", name);
	check(!strcmp(now, name), "thread '%s' is now called '%s'", name, now);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[ARRAY_SIZE(names)];

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		check(pthread_create(&threads[i], NULL, thread, (void *)names[i]) == 0, "thread %zu", i);
	barrier_wait(ready, ARRAY_SIZE(names));
	test_daemon();
	test_waitsig();
	barrier_post(go);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		check(pthread_join(threads[i], NULL) == 0, "join of thread %zu", i);
	return pass();
}
