/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A grandchild becomes an orphan after the restore, and must end up with the subreaper. */
#include "zdtm.h"

#include <sys/prctl.h>

static struct barrier *ready;

static int grandchild(void *argument)
{
	const pid_t parent = getppid();

	(void)argument;
	barrier_post(ready);
	while (getppid() == parent)
		usleep(1000);
	return getppid() == getsid(0) ? 42 : 43;
}

static int child(void *argument)
{
	*(pid_t *)argument = test_fork(grandchild, NULL);
	test_waitsig();
	return 0;
}

int main(int argc, char **argv)
{
	pid_t pid, *orphan;
	int attribute, status;

	test_init(argc, argv);
	ready = barrier_new();
	orphan = (void *)(ready + 16);
	check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "PR_SET_CHILD_SUBREAPER");
	pid = test_fork(child, orphan);
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	check(prctl(PR_GET_CHILD_SUBREAPER, &attribute) == 0 && attribute == 1, "the attribute is %d", attribute);
	test_join(pid);
	check(waitpid(*orphan, &status, 0) == *orphan, "the orphan went elsewhere");
	check(WIFEXITED(status) && WEXITSTATUS(status) == 42, "the orphan ended with %#x", status);
	return pass();
}
