/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Children that lead sessions, children in groups of others, and a group whose leader has another parent. */
#include "zdtm.h"

enum { TASKS = 5 };

struct ids {
	pid_t pid, pgid, sid;
};

static struct barrier *ready;
static struct ids *recorded;

static void record(int i)
{
	recorded[i] = (struct ids){ getpid(), getpgid(0), getsid(0) };
	barrier_post(ready);
}

static int leaf(void *argument)
{
	const int i = (uintptr_t)argument;

	/* 1 leads a session, 2 a group; 3 joins the group of 2; 4 stays in what 1 has made. */
	if (i == 2)
		check(setpgid(0, 0) == 0, "setpgid");
	if (i == 3)
		check(setpgid(0, recorded[2].pid) == 0, "setpgid to %d", recorded[2].pid);
	record(i);
	test_waitsig();
	check(getpid() == recorded[i].pid && getpgid(0) == recorded[i].pgid && getsid(0) == recorded[i].sid,
	      "task %d: pid %d, group %d, session %d", i, getpid(), getpgid(0), getsid(0));
	return 0;
}

static int leader(void *argument)
{
	pid_t pid;

	check(setsid() == getpid(), "setsid");
	pid = test_fork(leaf, (void *)(uintptr_t)4);
	barrier_wait(ready, 1);
	leaf(argument);
	test_join(pid);
	return 0;
}

int main(int argc, char **argv)
{
	pid_t pids[TASKS];

	test_init(argc, argv);
	ready = barrier_new();
	recorded = (void *)(ready + 64);
	pids[1] = test_fork(leader, (void *)(uintptr_t)1);
	barrier_wait(ready, 2);
	for (uintptr_t i = 2; i <= 3; i++) {
		pids[i] = test_fork(leaf, (void *)i);
		barrier_wait(ready, i + 1);
	}
	check(recorded[3].pgid == recorded[2].pid && recorded[4].sid == pids[1], "the tree is not as planned");
	test_daemon();
	test_waitsig();
	check(getsid(0) == getpid() && getpgid(0) == getpid(), "session %d, group %d", getsid(0), getpgid(0));
	for (int i = 1; i <= 3; i++)
		test_join(pids[i]);
	return pass();
}
