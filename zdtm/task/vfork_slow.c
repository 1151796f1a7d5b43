/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * vfork(2) again and again, by children that take their time as on a busy machine: there is hardly a moment in which the
 * program does not share its memory with one.
 */
#include "zdtm.h"

#include <time.h>

static const struct timespec busy = { .tv_nsec = 300000000 };
static int children;

int main(int argc, char **argv)
{
	pid_t child;
	int status;

	test_init(argc, argv);
	test_daemon();
	while (test_go()) {
		child = vfork();
		if (child == 0) {
			nanosleep(&busy, NULL);
			_exit(children % 7);
		}
		check(child > 0, "vfork");
		while (waitpid(child, &status, 0) < 0)
			check(errno == EINTR, "waitpid");
		check(WIFEXITED(status) && WEXITSTATUS(status) == children % 7, "child %d ended with %x", children, status);
		children++;
	}
	return pass();
}
