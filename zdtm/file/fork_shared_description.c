/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A description shared across fork(2): parent, child and grandchild hold it under three numbers; what one does to
 * the offset, all see. Two children share another one that the parent has closed.
 */
#include "zdtm.h"

#include <fcntl.h>

#define CHILD_FD 40
#define SIBLINGS_FD 50

static struct barrier *ready;

static int grandchild(void *argument)
{
	int fd = dup2(*(int *)argument, CHILD_FD + 1);

	close(*(int *)argument);
	barrier_post(ready);
	test_waitsig();
	check(lseek(fd, 0, SEEK_CUR) == 100, "the grandchild sees offset %jd", (intmax_t)lseek(fd, 0, SEEK_CUR));
	check(lseek(fd, 11, SEEK_CUR) == 111, "lseek");
	check(lseek(SIBLINGS_FD, 0, SEEK_CUR) == 21, "the nephew sees another offset");
	return 0;
}

static int child(void *argument)
{
	int fd = dup2(*(int *)argument, CHILD_FD);
	pid_t pid = test_fork(grandchild, argument);

	barrier_wait(ready, 1);
	close(*(int *)argument);
	barrier_post(ready);
	test_waitsig();
	test_join(pid);
	check(lseek(fd, 0, SEEK_CUR) == 111, "the child sees offset %jd", (intmax_t)lseek(fd, 0, SEEK_CUR));
	return 0;
}

static int sibling(void *argument)
{
	(void)argument;
	test_waitsig();
	check(lseek(SIBLINGS_FD, 0, SEEK_CUR) == 20, "the sibling sees another offset");
	return lseek(SIBLINGS_FD, 1, SEEK_CUR) == 21 ? 0 : 1;
}

int main(int argc, char **argv)
{
	pid_t first, second;
	int fd, siblings;

	test_init(argc, argv);
	ready = barrier_new();
	fd = open(test_filename, O_RDWR | O_CREAT, 0600);
	check(fd >= 0, "open %s", test_filename);
	siblings = open(test_filename, O_RDWR);
	check(siblings >= 0 && dup2(siblings, SIBLINGS_FD) == SIBLINGS_FD && close(siblings) == 0, "open");
	check(lseek(SIBLINGS_FD, 20, SEEK_SET) == 20, "lseek");
	first = test_fork(child, &fd);
	second = test_fork(sibling, NULL);
	barrier_wait(ready, 2);
	close(SIBLINGS_FD);

	test_daemon();
	test_waitsig();

	check(lseek(fd, 100, SEEK_SET) == 100, "lseek");
	test_join(second);
	test_join(first);
	check(lseek(fd, 0, SEEK_CUR) == 111, "the parent sees offset %jd", (intmax_t)lseek(fd, 0, SEEK_CUR));
	check(fcntl(SIBLINGS_FD, F_GETFD) == -1 && errno == EBADF, "the parent has got the siblings' descriptor");
	return pass();
}
