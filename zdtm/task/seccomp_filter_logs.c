/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Of two seccomp filters the one with SECCOMP_FILTER_FLAG_LOG, as only a tracer sees. */
#include "filter.h"

#include <sys/ptrace.h>

#define GET_METADATA 0x420d /* PTRACE_SECCOMP_GET_METADATA */

static int child(void *ready)
{
	struct sock_filter steps[] = { OTHERS(SECCOMP_RET_ALLOW) };

	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "PR_SET_NO_NEW_PRIVS");
	check(filter_set(SECCOMP_FILTER_FLAG_LOG, steps, 1) == 0, "a filter that logs");
	check(filter_set(0, steps, 1) == 0, "a filter that does not");
	barrier_post(ready);
	test_waitsig();
	return 0;
}

static void verify(pid_t pid)
{
	check(ptrace(PTRACE_SEIZE, pid, 0, 0) == 0 && ptrace(PTRACE_INTERRUPT, pid, 0, 0) == 0, "PTRACE_SEIZE");
	check(waitpid(pid, NULL, 0) == pid, "waitpid");
	for (uint64_t index = 0; index < 2; index++) {
		uint64_t metadata[2] = { index, ~0ULL };
		uint64_t wanted = index == 0 ? SECCOMP_FILTER_FLAG_LOG : 0;

		check(ptrace(GET_METADATA, pid, sizeof(metadata), metadata) == sizeof(metadata), "no filter");
		check(metadata[1] == wanted, "filter %d has the flags %#x", (int)index, (int)metadata[1]);
	}
	check(ptrace(PTRACE_DETACH, pid, 0, 0) == 0, "PTRACE_DETACH");
}

int main(int argc, char **argv)
{
	struct barrier *ready;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	pid = test_fork(child, ready);
	barrier_wait(ready, 1);
	verify(pid);
	test_daemon();
	test_waitsig();
	verify(pid);
	test_join(pid);
	return pass();
}
