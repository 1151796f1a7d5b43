/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What a shell leaves behind: tasks in the group or session of a process that does not exist any more. */
#include "zdtm.h"

#include <sys/prctl.h>

static struct barrier *ready;
static pid_t *survivors;

static int survivor(void *argument)
{
	const pid_t group = getpgid(0), session = getsid(0);
	const bool of_session = argument != NULL;

	check((of_session ? session : group) != getpid(), "the survivor is a leader");
	/* The leader is gone as soon as the subreaper is the parent. */
	while (getppid() != (pid_t)ready[8].count)
		usleep(1000);
	survivors[of_session] = getpid();
	barrier_post(ready);
	test_waitsig();
	check(getpgid(0) == group, "the group was %d, is %d", group, getpgid(0));
	check(getsid(0) == session, "the session was %d, is %d", session, getsid(0));
	return 0;
}

static int leader(void *argument)
{
	if (argument)
		check(setsid() == getpid(), "setsid");
	else
		check(setpgid(0, 0) == 0, "setpgid");
	test_fork(survivor, argument);
	return 0;
}

int main(int argc, char **argv)
{
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	ready[8].count = getpid();
	survivors = (pid_t *)&ready[16];
	check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "PR_SET_CHILD_SUBREAPER");
	for (uintptr_t i = 0; i < 2; i++) {
		pid = test_fork(leader, (void *)i);
		check(waitpid(pid, NULL, 0) == pid, "waitpid");
	}
	barrier_wait(ready, 2);
	test_daemon();
	test_waitsig();
	test_join(survivors[0]);
	test_join(survivors[1]);
	return pass();
}
