/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The traditional way to anonymous memory. */
#include "zdtm.h"

#include <fcntl.h>

enum { PAGES = 8 };

static struct barrier *ready;
static char *shared, *private;

static int child(void *argument)
{
	const size_t size = PAGES * page_size();

	(void)argument;
	barrier_post(ready);
	test_waitsig();
	pattern_fill(shared, size, 3);
	pattern_fill(private, size, 4);
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
	fd = open("/dev/zero", O_RDWR);
	check(fd >= 0, "open /dev/zero");
	shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	check(shared != MAP_FAILED && private != MAP_FAILED && close(fd) == 0, "mmap");
	pattern_fill(shared, size / 2, 1);
	pattern_fill(private, size / 2, 2);
	pid = test_fork(child, NULL);
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	check(pattern_holds(shared, size / 2, 1) && all_zero(shared + size / 2, size / 2), "shared memory");
	check(pattern_holds(private, size / 2, 2) && all_zero(private + size / 2, size / 2), "private memory");
	test_join(pid);
	check(pattern_holds(shared, size, 3), "the shared mapping is not shared any more");
	check(pattern_holds(private, size / 2, 2), "the private mapping is shared");
	return pass();
}
