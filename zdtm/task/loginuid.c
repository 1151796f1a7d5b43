/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The user that the audit log knows, which each process of a tree may have set for itself. */
#include "zdtm.h"

static void verify(const char *who, const char *uid)
{
	char text[32];

	check(read_text("/proc/self/loginuid", text, sizeof(text)) > 0, "read loginuid");
	check(!strcmp(text, uid), "the login uid of the %s is %s", who, text);
}

static int child(void *argument)
{
	check(write_text("/proc/self/loginuid", "54321") == 0, "write loginuid");
	barrier_post(argument);
	test_waitsig();
	verify("child", "54321");
	return 0;
}

int main(int argc, char **argv)
{
	struct barrier *ready;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	pid = test_fork(child, ready);
	check(write_text("/proc/self/loginuid", "12345") == 0, "write loginuid");
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	verify("parent", "12345");
	test_join(pid);
	return pass();
}
