/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The root directory of a process (chroot(2)), and a working directory inside it. */
#include "zdtm.h"

#include <limits.h>
#include <sys/stat.h>

static struct barrier *ready;

static int child(void *argument)
{
	struct stat *outside = argument, status;
	char path[PATH_MAX], text[16];

	check(chroot(test_dirname) == 0 && chdir("/inner") == 0, "chroot %s", test_dirname);
	barrier_post(ready);
	test_waitsig();
	check(stat("/", &status) == 0, "stat /");
	check(status.st_ino == outside->st_ino && status.st_dev == outside->st_dev, "/ is another directory");
	check(getcwd(path, sizeof(path)) && !strcmp(path, "/inner"), "the child is in %s", path);
	check(read_text("/../file", text, sizeof(text)) == 4 && !strcmp(text, "here"), "read /../file");
	return 0;
}

int main(int argc, char **argv)
{
	char path[PATH_MAX];
	struct stat directory;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	check(mkdir(test_dirname, 0700) == 0 && chdir(test_dirname) == 0, "mkdir %s", test_dirname);
	check(mkdir("inner", 0700) == 0 && write_text("file", "here") == 0, "create files");
	check(stat(".", &directory) == 0 && chdir("/") == 0, "stat");
	pid = test_fork(child, &directory);
	barrier_wait(ready, 1);

	test_daemon();
	test_waitsig();

	test_join(pid);
	check(readlink("/proc/self/root", path, sizeof(path)) == 1 && path[0] == '/', "the parent's root has moved");
	check(access(test_dirname, F_OK) == 0, "the parent does not see %s", test_dirname);
	return pass();
}
