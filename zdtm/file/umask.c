/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The file mode creation mask of each process (umask(2)). */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

static struct barrier *ready;

static int child(void *argument)
{
	mode_t mask;

	(void)argument;
	umask(0753);
	barrier_post(ready);
	test_waitsig();
	mask = umask(0);
	check(mask == 0753, "the child's mask is %#o", mask);
	return 0;
}

int main(int argc, char **argv)
{
	struct stat status;
	mode_t mask;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	umask(0);
	pid = test_fork(child, NULL);
	barrier_wait(ready, 1);
	umask(0246);

	test_daemon();
	test_waitsig();

	test_join(pid);
	check(open(test_filename, O_CREAT | O_WRONLY, 0777) >= 0 && stat(test_filename, &status) == 0, "create a file");
	check((status.st_mode & 0777) == 0531, "a new file has mode %#o", status.st_mode & 0777);
	mask = umask(0);
	check(mask == 0246, "the mask is %#o", mask);
	return pass();
}
