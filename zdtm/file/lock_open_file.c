/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Open file description locks (F_OFD_SETLK, fcntl(2)): ranges of two descriptions in one process. */
#include "zdtm.h"

#include <fcntl.h>

static int call(int fd, int command, struct flock *lock, short type, off_t start, off_t len)
{
	*lock = (struct flock){ .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
	return fcntl(fd, command, lock);
}

/* The kind of lock that keeps `fd` from locking the range for writing. */
static short held(int fd, off_t start, off_t len)
{
	struct flock lock;

	check(call(fd, F_OFD_GETLK, &lock, F_WRLCK, start, len) == 0, "F_OFD_GETLK");
	check(lock.l_type == F_UNLCK || lock.l_pid == -1, "the lock belongs to process %d", lock.l_pid);
	return lock.l_type;
}

int main(int argc, char **argv)
{
	struct flock lock;
	int one, two, copy;

	test_init(argc, argv);
	one = open(test_filename, O_RDWR | O_CREAT, 0600);
	two = open(test_filename, O_RDWR);
	check(one >= 0 && two >= 0, "open");
	check(call(one, F_OFD_SETLK, &lock, F_WRLCK, 10, 5) == 0, "lock");
	check(call(one, F_OFD_SETLK, &lock, F_RDLCK, 100, 0) == 0, "lock");
	check(call(two, F_OFD_SETLK, &lock, F_WRLCK, 20, 5) == 0, "lock");
	copy = dup(one);

	test_daemon();
	test_waitsig();

	check(held(two, 10, 5) == F_WRLCK && held(two, 14, 1) == F_WRLCK, "the first lock is gone");
	check(held(two, 15, 5) == F_UNLCK, "it is longer");
	check(held(two, 5000, 1) == F_RDLCK, "the lock up to the end is gone");
	check(held(one, 20, 1) == F_WRLCK, "the lock of the other description is gone");
	check(held(one, 10, 5) == F_UNLCK, "its own lock is in its way");
	check(close(one) == 0 && held(two, 10, 5) == F_WRLCK, "it was released with one of two descriptors");
	check(close(copy) == 0 && held(two, 10, 5) == F_UNLCK, "it stays when all are closed");
	return pass();
}
