/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Members of living sessions whose parents have ended: they belong to a subreaper now, or to the root. */
#include "zdtm.h"

#include <sys/prctl.h>

enum { LEADER, SUBREAPER, ADOPTED, JOINED, CHILD, DEEP, HIGHER, MOVED, EARLY, TASKS };

struct ids {
	pid_t pid, ppid, pgid, sid;
};

static struct ids *recorded;
static volatile bool *given_up;

static struct ids own(void)
{
	return (struct ids){ getpid(), getppid(), getpgid(0), getsid(0) };
}

static void record_and_wait(int i)
{
	recorded[i] = own();
	test_waitsig();
}

static void wait_recorded(int i)
{
	while (*(volatile pid_t *)&recorded[i].sid == 0)
		usleep(1000);
}

static int verify(int i)
{
	const struct ids now = own(), *then = &recorded[i];

	check(memcmp(&now, then, sizeof(now)) == 0, "task %d was %d %d %d %d, is %d %d %d %d", i, then->pid, then->ppid,
	      then->pgid, then->sid, now.pid, now.ppid, now.pgid, now.sid);
	return 0;
}

static int settle(int i)
{
	record_and_wait(i);
	return verify(i);
}

/* Forks a task by way of a parent that ends; returns when somebody else has adopted the task. */
static void fork_orphan(int (*body)(int), int i)
{
	pid_t between = fork(), parent;

	check(between >= 0, "fork");
	if (between == 0) {
		parent = getpid();
		if (fork() == 0) {
			while (getppid() == parent)
				usleep(1000);
			exit(body(i));
		}
		exit(0);
	}
	check(waitpid(between, NULL, 0) == between, "waitpid");
	wait_recorded(i);
}

static int child(void *unused)
{
	(void)unused;
	return settle(CHILD);
}

/* Leads a group, and has a child in it. */
static int adopted(int i)
{
	pid_t pid;

	check(setpgid(0, 0) == 0, "setpgid");
	pid = test_fork(child, NULL);
	wait_recorded(CHILD);
	record_and_wait(i);
	test_join(pid);
	return verify(i);
}

/* Is in a group whose leader is in another branch. */
static int joined(int i)
{
	check(setpgid(0, recorded[ADOPTED].pid) == 0, "setpgid to %d", recorded[ADOPTED].pid);
	return settle(i);
}

static int early(void *unused)
{
	(void)unused;
	return settle(EARLY);
}

/* Leaves the session that it was born in, but its child stays. */
static int moved(int i)
{
	pid_t pid = test_fork(early, NULL);

	wait_recorded(EARLY);
	check(setsid() == getpid(), "setsid");
	record_and_wait(i);
	test_join(pid);
	return verify(i);
}

static int leader(void *unused)
{
	(void)unused;
	check(setsid() == getpid(), "setsid");
	fork_orphan(adopted, ADOPTED);
	fork_orphan(joined, JOINED);
	fork_orphan(settle, DEEP);
	/* Its parent is no subreaper any more. */
	check(kill(getppid(), SIGUSR1) == 0, "kill");
	while (!*given_up)
		usleep(1000);
	fork_orphan(settle, HIGHER);
	fork_orphan(moved, MOVED);
	return settle(LEADER);
}

static void give_up(int signal)
{
	(void)signal;
	check(prctl(PR_SET_CHILD_SUBREAPER, 0) == 0, "PR_SET_CHILD_SUBREAPER");
	*given_up = true;
}

static int subreaper(void *unused)
{
	pid_t pid;

	(void)unused;
	check(signal(SIGUSR1, give_up) != SIG_ERR, "signal");
	check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "PR_SET_CHILD_SUBREAPER");
	pid = test_fork(leader, NULL);
	record_and_wait(SUBREAPER);
	test_join(pid);
	for (int i = ADOPTED; i <= DEEP; i++)
		if (i != CHILD)
			test_join(recorded[i].pid);
	return verify(SUBREAPER);
}

int main(int argc, char **argv)
{
	pid_t pid;

	test_init(argc, argv);
	given_up = (void *)barrier_new();
	recorded = (void *)(given_up + 64);
	check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "PR_SET_CHILD_SUBREAPER");
	pid = test_fork(subreaper, NULL);
	for (int i = 0; i < TASKS; i++)
		wait_recorded(i);
	check(recorded[ADOPTED].ppid == pid && recorded[HIGHER].ppid == getpid(), "the tree is not as planned");
	check(prctl(PR_SET_CHILD_SUBREAPER, 0) == 0, "PR_SET_CHILD_SUBREAPER");
	test_daemon();
	test_waitsig();
	test_join(pid);
	test_join(recorded[HIGHER].pid);
	test_join(recorded[MOVED].pid);
	return pass();
}
