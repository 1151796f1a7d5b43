/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A child with the seccomp filter of its parent, and a grandchild that has one more. */
#include "filter.h"

#include <sys/utsname.h>

static struct barrier *ready;

static void verify(bool more)
{
	struct utsname name;

	errno = 0;
	check(uname(&name) == -1 && errno == EDOM, "the inherited filter is gone");
	errno = 0;
	check((syscall(SYS_getpriority, 0, 0) == -1 && errno == EXDEV) == more, "a filter is gone, or too many");
}

static int grandchild(void *unused)
{
	struct sock_filter steps[] = {
		OWN_CALLS,
		ANSWER(SYS_getpriority, SECCOMP_RET_ERRNO | EXDEV),
		OTHERS(SECCOMP_RET_ALLOW),
	};

	(void)unused;
	check(filter_promise(steps, ARRAY_SIZE(steps)) == 0, "seccomp");
	barrier_post(ready);
	test_waitsig();
	verify(true);
	return 0;
}

static int child(void *unused)
{
	pid_t pid = test_fork(grandchild, unused);

	barrier_post(ready);
	test_waitsig();
	verify(false);
	test_join(pid);
	return 0;
}

int main(int argc, char **argv)
{
	struct sock_filter steps[] = {
		OWN_CALLS,
		ANSWER(SYS_uname, SECCOMP_RET_ERRNO | EDOM),
		OTHERS(SECCOMP_RET_ALLOW),
	};
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	check(filter_promise(steps, ARRAY_SIZE(steps)) == 0, "seccomp");
	pid = test_fork(child, NULL);
	barrier_wait(ready, 2);
	test_daemon();
	test_waitsig();
	verify(false);
	test_join(pid);
	return pass();
}
