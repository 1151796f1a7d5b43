/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A process group as owner of a descriptor's signals (F_SETOWN with a negative number, fcntl(2)). */
#include "zdtm.h"

#include <fcntl.h>

static struct barrier *ready, *signalled;

static void handler(int signal)
{
	(void)signal;
	barrier_post(signalled);
}

static int member(void *argument)
{
	check(setpgid(0, *(pid_t *)argument) == 0, "setpgid");
	barrier_post(ready);
	test_waitsig();
	return 0;
}

int main(int argc, char **argv)
{
	struct f_owner_ex owner = { 0 };
	pid_t members[2], group = 0;
	int ends[2];

	test_init(argc, argv);
	ready = barrier_new();
	signalled = barrier_new();
	check(signal(SIGUSR1, handler) != SIG_ERR && pipe(ends) == 0, "pipe");
	for (int i = 0; i < 2; i++) {
		members[i] = test_fork(member, &group);
		barrier_wait(ready, i + 1);
		group = members[0];
	}
	check(fcntl(ends[0], F_SETOWN, -group) == 0 && fcntl(ends[0], F_SETSIG, SIGUSR1) == 0, "F_SETOWN");
	check(fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK) == 0, "F_SETFL");

	test_daemon();
	test_waitsig();

	check(fcntl(ends[0], F_GETOWN_EX, &owner) == 0, "F_GETOWN_EX");
	check(owner.type == F_OWNER_PGRP && owner.pid == group, "the owner is of type %d, pid %d", owner.type,
	      owner.pid);
	check(fcntl(ends[0], F_GETSIG) == SIGUSR1, "the signal is %d", fcntl(ends[0], F_GETSIG));
	check(write(ends[1], "x", 1) == 1, "write");
	barrier_wait(signalled, 2);
	test_join(members[1]);
	test_join(members[0]);
	check(__atomic_load_n(&signalled->count, __ATOMIC_SEQ_CST) == 2, "%u signals came", signalled->count);
	return pass();
}
