/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* FUTEX_WAIT with a relative limit of an hour; the wake comes after the restore. */
#include "zdtm.h"

#include <linux/futex.h>
#include <time.h>

static struct barrier *ready;

static int child(void *argument)
{
	const struct timespec hour = { .tv_sec = 3600 };
	uint32_t *word = argument;

	barrier_post(ready);
	check(syscall(SYS_futex, word, FUTEX_WAIT, 0, &hour, NULL, 0) == 0, "futex");
	check(__atomic_load_n(word, __ATOMIC_SEQ_CST) == 1, "woken too early");
	return 0;
}

int main(int argc, char **argv)
{
	uint32_t *word;
	int status;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	word = &ready[1].count;
	pid = test_fork(child, word);
	barrier_wait(ready, 1);
	wait_asleep(pid);
	test_daemon();
	test_waitsig();
	__atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
	check(waitpid(pid, &status, 0) == pid && status == 0, "the child ended with %#x", status);
	return pass();
}
