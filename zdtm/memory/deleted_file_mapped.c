/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Shared by two processes, and private beside it; no descriptor and no name leads to the file any more. */
#include "zdtm.h"

#include <fcntl.h>

enum { PAGES = 6 };

static struct barrier *ready;
static char *shared, *private;

static int child(void *argument)
{
	barrier_post(argument);
	test_waitsig();
	check(pattern_holds(shared, PAGES * page_size(), 1), "the child sees other data");
	pattern_fill(shared, PAGES * page_size(), 3);
	return 0;
}

int main(int argc, char **argv)
{
	size_t size;
	pid_t pid;
	int fd;

	test_init(argc, argv);
	ready = barrier_new();
	size = PAGES * page_size();
	fd = open(test_filename, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0 && ftruncate(fd, size) == 0, "create %s", test_filename);
	shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	check(shared != MAP_FAILED && private != MAP_FAILED, "mmap");
	pattern_fill(shared, size, 1);
	pattern_fill(private, page_size(), 2);
	check(close(fd) == 0 && unlink(test_filename) == 0, "unlink");
	pid = test_fork(child, ready);
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	check(access(test_filename, F_OK) == -1 && errno == ENOENT, "the file is there again");
	check(pattern_holds(shared, size, 1), "the shared mapping has changed");
	check(pattern_holds(private, page_size(), 2), "the private mapping has changed");
	test_join(pid);
	check(pattern_holds(shared, size, 3), "the mapping is not shared any more");
	check(!memcmp(private + page_size(), shared + page_size(), size - page_size()), "private and shared differ");
	return pass();
}
