/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A thread as owner of a descriptor's signals (F_SETOWN_EX with F_OWNER_TID, fcntl(2)). */
#include "zdtm.h"

#include <fcntl.h>
#include <pthread.h>

static struct barrier *ready, *signalled;
static pid_t owner_tid, signalled_tid;

static void handler(int signal)
{
	(void)signal;
	signalled_tid = gettid();
	barrier_post(signalled);
}

static void *thread(void *argument)
{
	owner_tid = gettid();
	barrier_post(ready);
	barrier_wait(signalled, 1);
	return argument;
}

int main(int argc, char **argv)
{
	struct f_owner_ex owner = { .type = F_OWNER_TID };
	pthread_t other;
	int ends[2];

	test_init(argc, argv);
	ready = barrier_new();
	signalled = barrier_new();
	check(signal(SIGUSR1, handler) != SIG_ERR && pipe(ends) == 0, "pipe");
	check(pthread_create(&other, NULL, thread, NULL) == 0, "pthread_create");
	barrier_wait(ready, 1);
	owner.pid = owner_tid;
	check(fcntl(ends[0], F_SETOWN_EX, &owner) == 0 && fcntl(ends[0], F_SETSIG, SIGUSR1) == 0, "F_SETOWN_EX");
	check(fcntl(ends[0], F_SETFL, O_ASYNC) == 0, "F_SETFL");

	test_daemon();
	test_waitsig();

	memset(&owner, 0, sizeof(owner));
	check(fcntl(ends[0], F_GETOWN_EX, &owner) == 0, "F_GETOWN_EX");
	check(owner.type == F_OWNER_TID && owner.pid == owner_tid, "the owner is of type %d, id %d, not %d", owner.type,
	      owner.pid, owner_tid);
	check(write(ends[1], "x", 1) == 1, "write");
	barrier_wait(signalled, 1);
	check(signalled_tid == owner_tid, "thread %d got the signal, not %d", signalled_tid, owner_tid);
	check(pthread_join(other, NULL) == 0, "pthread_join");
	return pass();
}
