/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* An open file of a task that is gone: it stays open and every read fails with ESRCH (proc(5)). */
#include "zdtm.h"

#include <fcntl.h>

int main(int argc, char **argv)
{
	char path[64], text[16];
	pid_t pid;
	int fd;

	test_init(argc, argv);
	pid = fork();
	check(pid >= 0, "fork");
	if (pid == 0) {
		pause();
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	fd = open(path, O_RDONLY);
	check(fd >= 0, "open %s", path);
	check(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid, "kill");
	check(read(fd, text, sizeof(text)) == -1 && errno == ESRCH, "read of a dead task's status");

	test_daemon();
	test_waitsig();

	check(read(fd, text, sizeof(text)) == -1 && errno == ESRCH, "the dead task's status can be read");
	errno = 0;
	check(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "a child has appeared");
	check(kill(pid, 0) == -1 && errno == ESRCH, "pid %d is alive again", pid);
	return pass();
}
