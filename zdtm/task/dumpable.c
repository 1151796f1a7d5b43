/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* One process may not be traced by its own user, its child may. */
#include "zdtm.h"

#include <sys/prctl.h>

static int child(void *argument)
{
	check(prctl(PR_SET_DUMPABLE, 1) == 0, "PR_SET_DUMPABLE");
	barrier_post(argument);
	test_waitsig();
	check(prctl(PR_GET_DUMPABLE) == 1, "the child has %d", prctl(PR_GET_DUMPABLE));
	return 0;
}

int main(int argc, char **argv)
{
	struct barrier *ready;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	pid = test_fork(child, ready);
	check(prctl(PR_SET_DUMPABLE, 0) == 0, "PR_SET_DUMPABLE");
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	check(prctl(PR_GET_DUMPABLE) == 0, "the parent has %d", prctl(PR_GET_DUMPABLE));
	test_join(pid);
	return pass();
}
