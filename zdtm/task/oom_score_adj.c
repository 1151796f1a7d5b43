/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Each process of a tree has another value. */
#include "zdtm.h"

static int child(void *argument)
{
	char text[32];

	check(write_text("/proc/self/oom_score_adj", "721") == 0, "write oom_score_adj");
	barrier_post(argument);
	test_waitsig();
	check(read_text("/proc/self/oom_score_adj", text, sizeof(text)) > 0, "read oom_score_adj");
	check(atoi(text) == 721, "the value of the child is %s", text);
	return 0;
}

int main(int argc, char **argv)
{
	struct barrier *ready;
	char text[32];
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	pid = test_fork(child, ready);
	check(write_text("/proc/self/oom_score_adj", "345") == 0, "write oom_score_adj");
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	check(read_text("/proc/self/oom_score_adj", text, sizeof(text)) > 0, "read oom_score_adj");
	check(atoi(text) == 345, "the value is %s", text);
	test_join(pid);
	return pass();
}
