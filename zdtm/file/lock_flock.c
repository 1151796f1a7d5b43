/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* flock(2): a lock belongs to the description, and to all who share it. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/file.h>

static int opened(const char *suffix)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s%s", test_filename, suffix);
	fd = open(path, O_RDWR | O_CREAT, 0600);

	check(fd >= 0, "open");
	return fd;
}

static bool is_free(int fd, int how)
{
	int failed = flock(fd, how | LOCK_NB);

	check(failed == 0 || errno == EWOULDBLOCK, "flock");
	errno = 0;
	return !failed;
}

static int child(void *unused)
{
	(void)unused;
	test_waitsig();
	return 0;
}

int main(int argc, char **argv)
{
	int exclusive, copy, other, shared[2];
	pid_t pid;

	test_init(argc, argv);
	exclusive = opened(".exclusive");
	copy = dup(exclusive);
	check(copy >= 0 && flock(copy, LOCK_EX) == 0, "flock");
	other = opened(".exclusive");
	shared[0] = opened(".shared");
	shared[1] = opened(".shared");
	check(flock(shared[0], LOCK_SH) == 0 && flock(shared[1], LOCK_SH) == 0, "flock");
	pid = test_fork(child, NULL);

	test_daemon();
	test_waitsig();

	check(!is_free(other, LOCK_SH), "the exclusive lock is gone");
	check(is_free(exclusive, LOCK_EX), "its owner cannot take it again");
	check(close(copy) == 0 && !is_free(other, LOCK_SH), "it was released with a copy of the descriptor");
	check(close(exclusive) == 0 && !is_free(other, LOCK_SH), "the child does not share it");
	check(!is_free(shared[0], LOCK_EX), "a shared lock is gone");
	check(close(shared[1]) == 0, "close");
	check(!is_free(shared[0], LOCK_EX), "the child does not share it");
	test_join(pid);
	check(is_free(other, LOCK_EX), "it stays when all have closed it");
	return pass();
}
