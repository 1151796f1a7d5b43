/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* set_tid_address(2) with a word in a shared file: it is cleared when the thread ends, and not by the dump. */
#include "zdtm.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>

static uint32_t *word;
static struct barrier *ready, *go;

static void *thread(void *argument)
{
	syscall(SYS_set_tid_address, word);
	barrier_post(ready);
	barrier_wait(go, 1);
	/* Not by way of the C library, whose own word is never cleared now. */
	syscall(SYS_exit, 0);
	return argument;
}

int main(int argc, char **argv)
{
	pthread_t other;
	int fd;

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	fd = open(test_filename, O_RDWR | O_CREAT, 0600);
	check(fd >= 0 && ftruncate(fd, page_size()) == 0, "open");
	word = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(word != MAP_FAILED, "mmap");
	*word = 1;
	check(pthread_create(&other, NULL, thread, NULL) == 0, "pthread_create");
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	check(*word == 1, "the word was cleared while the thread was there");
	barrier_post(go);
	/* A lost address leaves the test here until the harness loses patience. */
	while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == 1)
		syscall(SYS_futex, word, FUTEX_WAIT, 1, NULL, NULL, 0);
	return pass();
}
