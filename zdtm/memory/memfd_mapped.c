/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* One file, three ways to see it: shared mapping, private mapping, descriptor; size, name and seals. */
#include "zdtm.h"

#include <fcntl.h>

enum { PAGES = 6 };

static struct barrier *ready;
static char *shared, *private;
static int fd;

static int child(void *argument)
{
	const size_t size = PAGES * page_size();

	(void)argument;
	barrier_post(ready);
	test_waitsig();
	check(pattern_holds(shared, size, 1), "the child sees other data");
	check(pwrite(fd, "child", 5, 0) == 5, "pwrite");
	return 0;
}

int main(int argc, char **argv)
{
	char link[64], name[256] = "";
	size_t size;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	size = PAGES * page_size();
	fd = memfd_create("a name", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	check(fd >= 0 && ftruncate(fd, size) == 0, "memfd_create");
	shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	check(shared != MAP_FAILED && private != MAP_FAILED, "mmap");
	pattern_fill(shared, size, 1);
	pattern_fill(private + page_size(), page_size(), 2);
	check(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0, "F_ADD_SEALS");
	pid = test_fork(child, NULL);
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	check(fcntl(fd, F_GET_SEALS) == (F_SEAL_SHRINK | F_SEAL_GROW), "seals are %#x", fcntl(fd, F_GET_SEALS));
	check(fcntl(fd, F_GETFD) == FD_CLOEXEC, "flags are %#x", fcntl(fd, F_GETFD));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	check(readlink(link, name, sizeof(name) - 1) > 0 && !strncmp(name, "/memfd:a name ", 14), "the name is %s", name);
	check(pattern_holds(private + page_size(), page_size(), 2), "the private page has changed");
	test_join(pid);
	check(!memcmp(shared, "child", 5), "the mapping is not of the same file any more");
	check(!memcmp(private, "child", 5), "the private mapping is not of the same file any more");
	return pass();
}
