/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Two children under the real time policies; they only sleep. */
#include "zdtm.h"

#include <sched.h>

static const struct {
	int policy, priority;
} chosen[] = { { SCHED_FIFO, 3 }, { SCHED_RR, 7 } };

static struct barrier *ready;

static int child(void *argument)
{
	const size_t i = (uintptr_t)argument;
	struct sched_param param = { .sched_priority = chosen[i].priority };

	check(sched_setscheduler(0, chosen[i].policy, &param) == 0, "sched_setscheduler %zu", i);
	barrier_post(ready);
	test_waitsig();
	check(sched_getscheduler(0) == chosen[i].policy, "policy is %d", sched_getscheduler(0));
	check(sched_getparam(0, &param) == 0 && param.sched_priority == chosen[i].priority, "priority is %d",
	      param.sched_priority);
	return 0;
}

int main(int argc, char **argv)
{
	pid_t pids[ARRAY_SIZE(chosen)];

	test_init(argc, argv);
	ready = barrier_new();
	for (uintptr_t i = 0; i < ARRAY_SIZE(chosen); i++)
		pids[i] = test_fork(child, (void *)i);
	barrier_wait(ready, ARRAY_SIZE(chosen));
	test_daemon();
	test_waitsig();
	for (size_t i = 0; i < ARRAY_SIZE(chosen); i++)
		test_join(pids[i]);
	return pass();
}
