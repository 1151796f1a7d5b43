/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Open namespaces (namespaces(7)) are those that the program lives in, whichever link has opened them and how. */
#include "zdtm.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static const struct namespace {
	const char *link;
	int flags, kind;
} namespaces[] = {
	{ "cgroup", O_RDONLY, CLONE_NEWCGROUP }, { "ipc", O_RDONLY, CLONE_NEWIPC },
	{ "mnt", O_RDONLY, CLONE_NEWNS },	 { "net", O_RDONLY | O_NONBLOCK, CLONE_NEWNET },
	{ "pid", O_RDONLY, CLONE_NEWPID },	 { "pid_for_children", O_RDONLY, CLONE_NEWPID },
	{ "user", O_RDONLY, CLONE_NEWUSER },	 { "uts", O_RDONLY, CLONE_NEWUTS },
	{ "net", O_PATH, 0 },
};

static void of(const struct namespace *namespace, int fd)
{
	char path[64];
	struct stat open, here;

	snprintf(path, sizeof(path), "/proc/self/ns/%s", namespace->link);
	check(fstat(fd, &open) == 0 && stat(path, &here) == 0, "stat %s", path);
	check(open.st_dev == here.st_dev && open.st_ino == here.st_ino, "%s is another one", path);
}

int main(int argc, char **argv)
{
	int fds[ARRAY_SIZE(namespaces)], flags[ARRAY_SIZE(namespaces)], again;
	char path[64];

	test_init(argc, argv);
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
		snprintf(path, sizeof(path), "/proc/self/ns/%s", namespaces[i].link);
		fds[i] = open(path, namespaces[i].flags);
		check(fds[i] >= 0, "open %s", path);
		flags[i] = fcntl(fds[i], F_GETFL);
	}
	again = dup(fds[3]);
	check(again >= 0 && fcntl(fds[1], F_SETOWN, getpid()) == 0, "dup and F_SETOWN");

	test_daemon();
	test_waitsig();

	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
		of(&namespaces[i], fds[i]);
		check(fcntl(fds[i], F_GETFL) == flags[i], "the flags of %s are %#o", namespaces[i].link,
		      fcntl(fds[i], F_GETFL));
		check(!namespaces[i].kind || ioctl(fds[i], NS_GET_NSTYPE) == namespaces[i].kind, "the kind of %s",
		      namespaces[i].link);
	}
	check(fcntl(fds[1], F_GETOWN) == getpid(), "the owner is %d", fcntl(fds[1], F_GETOWN));
	check(fcntl(fds[3], F_SETFL, 0) == 0 && fcntl(again, F_GETFL) == (flags[3] & ~O_NONBLOCK),
	      "descriptors do not share their description");
	check(setns(fds[3], CLONE_NEWNET) == 0, "setns");
	return pass();
}
