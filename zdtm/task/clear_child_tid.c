/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* set_tid_address(2): the kernel clears the word and wakes its futex when the thread is gone. */
#include "zdtm.h"

#include <linux/futex.h>
#include <pthread.h>

static uint32_t word = 1;
static struct barrier *ready, *go;

static void *thread(void *argument)
{
	syscall(SYS_set_tid_address, &word);
	barrier_post(ready);
	barrier_wait(go, 1);
	/* Not by way of the C library, whose own word is never cleared now. */
	syscall(SYS_exit, 0);
	return argument;
}

int main(int argc, char **argv)
{
	pthread_t other;

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	check(pthread_create(&other, NULL, thread, NULL) == 0, "pthread_create");
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	barrier_post(go);
	/* A lost address leaves the test here until the harness loses patience. */
	while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 1)
		syscall(SYS_futex, &word, FUTEX_WAIT, 1, NULL, NULL, 0);
	return pass();
}
