/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* POSIX locks (F_SETLK, fcntl(2)): ranges of one file that two processes hold. */
#include "zdtm.h"

#include <fcntl.h>

static int file;

static int set(int fd, short type, off_t start, off_t len)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	return fcntl(fd, F_SETLK, &lock);
}

/* Who keeps this process from locking the range for writing; 0 if nobody does. */
static pid_t holder(off_t start, off_t len, short *type)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	check(fcntl(file, F_GETLK, &lock) == 0, "F_GETLK");
	*type = lock.l_type;
	return lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

static int child(void *barrier)
{
	pid_t parent = getppid();
	short type;

	check(set(file, F_RDLCK, 300, 0) == 0, "lock");
	barrier_post(barrier);
	test_waitsig();
	check(holder(100, 50, &type) == parent && type == F_WRLCK, "the parent's lock is gone");
	check(holder(150, 10, &type) == 0, "it is longer");
	check(holder(99, 1, &type) == 0, "it starts before");
	check(holder(200, 1, &type) == parent && type == F_RDLCK, "the parent's second lock is gone");
	return 0;
}

int main(int argc, char **argv)
{
	struct barrier *locked;
	short type;
	pid_t pid;
	int copy;

	test_init(argc, argv);
	file = open(test_filename, O_RDWR | O_CREAT, 0600);
	check(file >= 0, "open");
	locked = barrier_new();
	pid = test_fork(child, locked);
	copy = dup(file);
	check(copy >= 0 && set(file, F_WRLCK, 100, 50) == 0 && set(copy, F_RDLCK, 200, 1) == 0, "lock");
	barrier_wait(locked, 1);

	test_daemon();
	test_waitsig();

	check(holder(1000, 1, &type) == pid && type == F_RDLCK, "the child's lock is gone");
	check(holder(299, 1, &type) == 0, "the child's lock is longer");
	check(set(copy, F_RDLCK, 400, 1) == 0, "the child's lock is not shared");
	test_join(pid);
	check(holder(300, 0, &type) == 0, "the child's lock has outlived it");
	check(set(file, F_UNLCK, 0, 0) == 0, "unlock");
	return pass();
}
