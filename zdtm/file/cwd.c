/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The working directory of each process: same inode, same path, and relative look-ups work (chdir(2)). */
#include "zdtm.h"

#include <limits.h>
#include <sys/stat.h>

static struct barrier *ready;

static int child(void *argument)
{
	char path[PATH_MAX], text[16];

	(void)argument;
	check(chdir("inner") == 0, "chdir inner");
	barrier_post(ready);
	test_waitsig();
	check(getcwd(path, sizeof(path)), "getcwd");
	check(!strcmp(path + strlen(path) - 6, "/inner"), "the child is in %s", path);
	check(read_text("../file", text, sizeof(text)) == 4 && !strcmp(text, "here"), "read ../file");
	return 0;
}

int main(int argc, char **argv)
{
	char path[PATH_MAX], text[16];
	struct stat before, after;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	check(mkdir(test_dirname, 0700) == 0 && chdir(test_dirname) == 0, "mkdir %s", test_dirname);
	check(mkdir("inner", 0700) == 0 && write_text("file", "here") == 0, "create files");
	check(stat(".", &before) == 0, "stat");
	pid = test_fork(child, NULL);
	barrier_wait(ready, 1);

	test_daemon();
	test_waitsig();

	test_join(pid);
	check(getcwd(path, sizeof(path)) && !strcmp(path, test_dirname), "the parent is in %s", path);
	check(stat(".", &after) == 0 && after.st_ino == before.st_ino && after.st_dev == before.st_dev, "inode");
	check(read_text("file", text, sizeof(text)) == 4 && !strcmp(text, "here"), "read file");
	return pass();
}
