/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A deleted file opened by two processes, each with a description of its own, and one description they share. */
#include "zdtm.h"

#include <fcntl.h>

static struct barrier *ready;

static int child(void *argument)
{
	int shared = *(int *)argument, own = open(test_filename, O_RDWR);
	char text[8];

	check(own >= 0 && lseek(own, 4, SEEK_SET) == 4, "open");
	barrier_post(ready);
	test_waitsig();
	check(lseek(own, 0, SEEK_CUR) == 4, "the child's offset is %jd", (intmax_t)lseek(own, 0, SEEK_CUR));
	check(lseek(shared, 0, SEEK_CUR) == 2, "the shared offset is %jd", (intmax_t)lseek(shared, 0, SEEK_CUR));
	check(read(own, text, 8) == 4 && !memcmp(text, "body", 4), "contents in the child");
	check(write(own, "+child", 6) == 6 && lseek(shared, 1, SEEK_SET) == 1, "write");
	return 0;
}

int main(int argc, char **argv)
{
	char text[32];
	pid_t pid;
	int fd;

	test_init(argc, argv);
	ready = barrier_new();
	fd = open(test_filename, O_RDWR | O_CREAT, 0600);
	check(fd >= 0 && write(fd, "somebody", 8) == 8, "open %s", test_filename);
	check(lseek(fd, 2, SEEK_SET) == 2, "lseek");
	pid = test_fork(child, &fd);
	barrier_wait(ready, 1);
	check(unlink(test_filename) == 0, "unlink");

	test_daemon();
	test_waitsig();

	test_join(pid);
	check(lseek(fd, 0, SEEK_CUR) == 1, "the description is no longer shared");
	check(pread(fd, text, sizeof(text), 0) == 14 && !memcmp(text, "somebody+child", 14), "contents in the parent");
	check(access(test_filename, F_OK) == -1 && errno == ENOENT, "%s has come back", test_filename);
	return pass();
}
