/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A seccomp filter that lets one call fail with an error of its own. */
#include "filter.h"

#include <sys/utsname.h>

int main(int argc, char **argv)
{
	struct sock_filter steps[] = {
		OWN_CALLS,
		ANSWER(SYS_uname, SECCOMP_RET_ERRNO | EDOM),
		OTHERS(SECCOMP_RET_ALLOW),
	};
	struct utsname name;

	test_init(argc, argv);
	check(filter_promise(steps, ARRAY_SIZE(steps)) == 0, "seccomp");
	check(uname(&name) == -1 && errno == EDOM, "the filter does not work");
	test_daemon();
	test_waitsig();
	errno = 0;
	check(uname(&name) == -1, "the filter is gone");
	check(errno == EDOM, "the filter has another error");
	check(getppid() > 0 && getsid(0) == getpid(), "other calls do not work");
	return pass();
}
