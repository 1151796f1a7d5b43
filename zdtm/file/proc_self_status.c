/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Open files of proc(5): of the task itself, of its child, and of the system, each at its offset. */
#include "zdtm.h"

#include <fcntl.h>

static int child(void *argument)
{
	(void)argument;
	test_waitsig();
	return 0;
}

static void check_pid(int fd, pid_t pid)
{
	char text[4096], expected[32];
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);

	check(length > 0, "read fd %d", fd);
	text[length] = '\0';
	snprintf(expected, sizeof(expected), "\nPid:\t%d\n", pid);
	check(strstr(text, expected), "fd %d is not the status of pid %d", fd, pid);
}

int main(int argc, char **argv)
{
	char path[64], text[8];
	int own, theirs, global;
	pid_t pid;

	test_init(argc, argv);
	pid = test_fork(child, NULL);
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	own = open("/proc/self/status", O_RDONLY);
	theirs = open(path, O_RDONLY);
	global = open("/proc/sys/kernel/ostype", O_RDONLY);
	check(own >= 0 && theirs >= 0 && global >= 0, "open");
	check(read(own, text, 6) == 6 && read(global, text, 2) == 2, "read");

	test_daemon();
	test_waitsig();

	check(lseek(own, 0, SEEK_CUR) == 6 && lseek(theirs, 0, SEEK_CUR) == 0, "offsets of the status files");
	check_pid(own, getpid());
	check_pid(theirs, pid);
	check(read(global, text, 3) == 3 && !memcmp(text, "nux", 3), "/proc/sys/kernel/ostype");
	test_join(pid);
	return pass();
}
