/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* FD_CLOEXEC belongs to each descriptor (fcntl(2)), not to the description that two of them share. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

static bool open_in_child(int fd)
{
	char path[64];
	int status;
	pid_t child;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	child = fork();
	check(child >= 0, "fork");
	if (child == 0) {
		execl("/bin/sh", "sh", "-c", "test -e \"$0\"", path, NULL);
		_exit(2);
	}
	check(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) < 2, "run sh");
	return WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv)
{
	int kept, closed, only;

	test_init(argc, argv);
	kept = open(test_filename, O_RDWR | O_CREAT, 0600);
	closed = fcntl(kept, F_DUPFD_CLOEXEC, 0);
	only = open("/dev/null", O_RDONLY | O_CLOEXEC);
	check(kept >= 0 && closed >= 0 && only >= 0, "open");

	test_daemon();
	test_waitsig();

	check(fcntl(kept, F_GETFD) == 0, "fd %d has FD_CLOEXEC", kept);
	check(fcntl(closed, F_GETFD) == FD_CLOEXEC, "fd %d has no FD_CLOEXEC", closed);
	check(fcntl(only, F_GETFD) == FD_CLOEXEC, "fd %d has no FD_CLOEXEC", only);
	check(open_in_child(kept), "fd %d is lost at execve", kept);
	check(!open_in_child(closed) && !open_in_child(only), "a close-on-exec descriptor passes execve");
	return pass();
}
