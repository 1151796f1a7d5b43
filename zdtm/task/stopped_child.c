/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A child in a group stop: it has not moved after the restore, and SIGCONT sets it going. */
#include "zdtm.h"

#include <sched.h>

static int child(void *argument)
{
	volatile uint32_t *counter = argument;

	while (test_go()) {
		(*counter)++;
		sched_yield();
	}
	return 0;
}

int main(int argc, char **argv)
{
	volatile uint32_t *counter;
	uint32_t frozen;
	char state[64];
	int status;
	pid_t pid;

	test_init(argc, argv);
	counter = (void *)barrier_new();
	pid = test_fork(child, (void *)counter);
	while (*counter == 0)
		sched_yield();
	check(kill(pid, SIGSTOP) == 0, "SIGSTOP");
	check(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status), "the child does not stop");
	frozen = *counter;
	test_daemon();
	test_waitsig();
	snprintf(state, sizeof(state), "%d/status", pid);
	proc_field(state, "State", state, sizeof(state));
	check(state[0] == 'T', "the state of the child is %s", state);
	check(*counter == frozen, "the child went from %u to %u", frozen, *counter);
	check(kill(pid, SIGCONT) == 0, "SIGCONT");
	while (*counter == frozen)
		sched_yield();
	test_join(pid);
	return pass();
}
