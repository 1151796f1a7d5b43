/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A seccomp filter that was set with CAP_SYS_ADMIN, and not by no_new_privs, in a process that has given up both users
 * and capabilities since, as container runtimes do. */
#include "filter.h"

#include <sys/utsname.h>

static const uid_t NOBODY = 65534;

static int child(void *ready)
{
	struct sock_filter steps[] = {
		OWN_CALLS,
		ANSWER(SYS_uname, SECCOMP_RET_ERRNO | EDOM),
		OTHERS(SECCOMP_RET_ALLOW),
	};
	struct utsname name;

	check(filter_set(0, steps, ARRAY_SIZE(steps)) == 0, "seccomp");
	check(setresuid(NOBODY, NOBODY, NOBODY) == 0, "setresuid");
	barrier_post(ready);
	test_waitsig();
	errno = 0;
	check(uname(&name) == -1 && errno == EDOM, "the filter is gone");
	check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0, "a promise that was not made");
	check(geteuid() == NOBODY, "the user is %u", geteuid());
	check(filter_set(0, steps, ARRAY_SIZE(steps)) == -1 && errno == EACCES, "it may set filters");
	return 0;
}

int main(int argc, char **argv)
{
	struct barrier *ready;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	pid = test_fork(child, ready);
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	test_join(pid);
	return pass();
}
