/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Parent and child have two userfaultfds each, at the same addresses; the parent has all four descriptors open. */
#include "userfaultfd.h"

#include <sys/syscall.h>

enum { PAGES = 2 };

static char *areas[2];

static void make(int *fds)
{
	for (int i = 0; i < 2; i++) {
		fds[i] = uffd_new(0);
		uffd_register(fds[i], areas[i], PAGES, UFFDIO_REGISTER_MODE_MISSING);
	}
}

static int child(void *shared)
{
	struct barrier *said = shared;
	int fds[2];

	make(fds);
	check(fds[0] == 20 && fds[1] == 21, "descriptors %d %d", fds[0], fds[1]);
	barrier_post(said);
	test_waitsig();
	for (int i = 0; i < 2; i++)
		check(pattern_holds(areas[i], page_size(), 12 + i), "area %d of the child", i);
	return 0;
}

int main(int argc, char **argv)
{
	struct barrier *said;
	int fds[4], pidfd;
	pid_t pid;

	test_init(argc, argv);
	said = barrier_new();
	for (int i = 0; i < 2; i++)
		areas[i] = map_pages(PAGES);
	for (int fd = dup(0); fd < 19; fd = dup(0))
		check(fd >= 0, "dup");
	pid = test_fork(child, said);
	barrier_wait(said, 1);
	make(fds);
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	for (int i = 0; i < 2; i++)
		fds[2 + i] = syscall(SYS_pidfd_getfd, pidfd, 20 + i, 0);
	check(pidfd >= 0 && fds[2] >= 0 && fds[3] >= 0, "pidfd_getfd");

	test_daemon();
	test_waitsig();

	for (int i = 0; i < 4; i++)
		uffd_copy(fds[i], areas[i % 2], 10 + i);
	for (int i = 0; i < 2; i++)
		check(pattern_holds(areas[i], page_size(), 10 + i), "area %d", i);
	test_join(pid);
	return pass();
}
