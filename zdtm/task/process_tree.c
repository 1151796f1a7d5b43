/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Every task of the tree waits for its own children and adds up what they return. */
#include "zdtm.h"

enum { BRANCHES = 3, LEVELS = 3 };

static struct barrier *ready;

static int grow(void *argument)
{
	const uintptr_t level = (uintptr_t)argument;
	const pid_t self = getpid(), parent = getppid();
	pid_t children[BRANCHES];

	for (int i = 0; level > 0 && i < BRANCHES; i++)
		children[i] = test_fork(grow, (void *)(level - 1));
	barrier_post(ready);
	test_waitsig();
	check(getpid() == self && getppid() == parent, "task %d of %d is now %d of %d", self, parent, getpid(), getppid());
	for (int i = 0; level > 0 && i < BRANCHES; i++)
		test_join(children[i]);
	check(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "task %d has a strange child", self);
	return 0;
}

int main(int argc, char **argv)
{
	pid_t children[BRANCHES];
	uint32_t tasks = 0;

	test_init(argc, argv);
	ready = barrier_new();
	for (int i = 0; i < BRANCHES; i++)
		children[i] = test_fork(grow, (void *)(uintptr_t)(LEVELS - 1));
	for (uint32_t level = 0, width = BRANCHES; level < LEVELS; level++, width *= BRANCHES)
		tasks += width;
	barrier_wait(ready, tasks);
	test_daemon();
	test_waitsig();
	for (int i = 0; i < BRANCHES; i++)
		test_join(children[i]);
	return pass();
}
