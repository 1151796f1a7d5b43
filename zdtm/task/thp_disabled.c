/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* PR_SET_THP_DISABLE of a child, inherited from nobody. */
#include "zdtm.h"

#include <sys/prctl.h>

static int child(void *argument)
{
	check(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0, "PR_SET_THP_DISABLE");
	barrier_post(argument);
	test_waitsig();
	check(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1, "huge pages are allowed again");
	return 0;
}

int main(int argc, char **argv)
{
	struct barrier *ready;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	pid = test_fork(child, ready);
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	check(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0, "huge pages are forbidden to the parent, too");
	test_join(pid);
	return pass();
}
