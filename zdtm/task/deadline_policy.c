/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A child under SCHED_DEADLINE, with its budget, which is given back when it forks. */
#include "zdtm.h"

#include <linux/sched.h>
#include <linux/sched/types.h>

#define MILLISECOND 1000000ull

static struct barrier *ready;

static struct sched_attr attributes(void)
{
	struct sched_attr now = { 0 };

	check(syscall(SYS_sched_getattr, 0, &now, sizeof(now), 0) == 0, "sched_getattr");
	return now;
}

static int child(void *unused)
{
	const struct sched_attr chosen = {
		.size = sizeof(chosen),
		.sched_policy = SCHED_DEADLINE,
		.sched_flags = SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_RECLAIM,
		.sched_runtime = 5 * MILLISECOND,
		.sched_deadline = 70 * MILLISECOND,
		.sched_period = 90 * MILLISECOND,
	};
	struct sched_attr now;

	(void)unused;
	check(syscall(SYS_sched_setattr, 0, &chosen, 0) == 0, "sched_setattr");
	barrier_post(ready);
	test_waitsig();
	now = attributes();
	check(now.sched_policy == SCHED_DEADLINE, "policy is %u", now.sched_policy);
	check(now.sched_flags == chosen.sched_flags, "flags are %#llx", (unsigned long long)now.sched_flags);
	check(now.sched_runtime == chosen.sched_runtime, "runtime is %llu", (unsigned long long)now.sched_runtime);
	check(now.sched_deadline == chosen.sched_deadline, "deadline is %llu", (unsigned long long)now.sched_deadline);
	check(now.sched_period == chosen.sched_period, "period is %llu", (unsigned long long)now.sched_period);
	return 0;
}

int main(int argc, char **argv)
{
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	pid = test_fork(child, NULL);
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	test_join(pid);
	check(attributes().sched_policy == 0, "the parent's policy is %u", attributes().sched_policy);
	return pass();
}
