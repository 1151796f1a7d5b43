/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Two seccomp filters: each forbids a call of its own, and of both errors for a third call the newer one's counts. */
#include "filter.h"

#include <sys/utsname.h>

static void verify(void)
{
	struct utsname name;

	errno = 0;
	check(syscall(SYS_getpriority, 0, 0) == -1 && errno == ENOTTY, "the older filter is gone");
	errno = 0;
	check(syscall(SYS_setpriority, 0, 0, 0) == -1 && errno == EXDEV, "the newer filter is gone");
	errno = 0;
	check(uname(&name) == -1, "both filters are gone");
	check(errno == EXDEV, "the filters have another order");
}

int main(int argc, char **argv)
{
	struct sock_filter older[] = {
		OWN_CALLS,
		ANSWER(SYS_getpriority, SECCOMP_RET_ERRNO | ENOTTY),
		ANSWER(SYS_uname, SECCOMP_RET_ERRNO | ENOTTY),
		OTHERS(SECCOMP_RET_ALLOW),
	};
	struct sock_filter newer[] = {
		OWN_CALLS,
		ANSWER(SYS_setpriority, SECCOMP_RET_ERRNO | EXDEV),
		ANSWER(SYS_uname, SECCOMP_RET_ERRNO | EXDEV),
		OTHERS(SECCOMP_RET_ALLOW),
	};

	test_init(argc, argv);
	check(filter_promise(older, ARRAY_SIZE(older)) == 0, "the older filter");
	check(filter_promise(newer, ARRAY_SIZE(newer)) == 0, "the newer filter");
	verify();
	test_daemon();
	test_waitsig();
	verify();
	return pass();
}
