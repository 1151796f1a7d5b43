/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Two processes with one descriptor table (CLONE_FILES, clone(2)): what one opens or closes, the other sees. */
#include "zdtm.h"

#include <fcntl.h>
#include <sched.h>

#define OPENED 70
#define CLOSED 71

static int child(void)
{
	test_waitsig();
	check(dup2(open(test_filename, O_RDONLY), OPENED) == OPENED, "open in the child");
	check(close(CLOSED) == 0, "close in the child");
	return 0;
}

int main(int argc, char **argv)
{
	char byte;
	pid_t pid, apart;
	int stray;

	test_init(argc, argv);
	check(write_text(test_filename, "x") == 0, "write %s", test_filename);
	check(dup2(0, CLOSED) == CLOSED, "dup2");
	pid = syscall(SYS_clone, SIGCHLD | CLONE_FILES, NULL, NULL, NULL, NULL);
	check(pid >= 0, "clone");
	if (pid == 0)
		exit(child());

	test_daemon();
	test_waitsig();

	check(fcntl(CLOSED, F_GETFD) == 0, "fd %d is lost", CLOSED);
	stray = open("/dev/null", O_RDONLY);
	test_join(pid);
	check(fcntl(CLOSED, F_GETFD) == -1 && errno == EBADF, "fd %d, closed by the child, is open here", CLOSED);
	errno = 0;
	check(read(OPENED, &byte, 1) == 1 && byte == 'x', "fd %d, opened by the child, is not here", OPENED);
	check(close(stray) == 0, "close");
	/* A plain fork must still copy the table. */
	apart = fork();
	check(apart >= 0, "fork");
	if (apart == 0)
		_exit(close(OPENED));
	check(waitpid(apart, NULL, 0) == apart && fcntl(OPENED, F_GETFD) == 0, "fork shares the table");
	return pass();
}
