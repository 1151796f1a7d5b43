/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Open files whose state no interface shows, that are someone else's, or that no path leads to. */
#include "lib.h"

#include <linux/bpf.h>
#include <linux/landlock.h>
#include <mqueue.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>

static void opened(const char *device)
{
	have(open(device, O_RDONLY));
}

/* It lives where it was before. */
static void namespace_file(void)
{
	int before = open("/proc/self/ns/uts", O_RDONLY);

	need(before >= 0 && unshare(CLONE_NEWUTS) == 0);
	opened("/proc/self/ns/uts");
	need(setns(before, CLONE_NEWUTS) == 0 && close(before) == 0);
}

static void secret_memory(void)
{
	int fd = syscall(SYS_memfd_secret, 0);

	have(fd);
	need(ftruncate(fd, 4096) == 0);
	need(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED && close(fd) == 0);
}

static void other_device(void)
{
	opened("/dev/fuse");
}

static void virtual_machine(void)
{
	opened("/dev/kvm");
}

static void block_device(void)
{
	opened("/dev/loop0");
}

static void userfaultfd(void)
{
	have(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
}

static void bpf_map(void)
{
	union bpf_attr map = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1 };

	need(syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof(map)) >= 0);
}

static void landlock_ruleset(void)
{
	struct landlock_ruleset_attr rules = { .handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE };

	have(syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0));
}

static mqd_t new_queue(void)
{
	char name[64];
	mqd_t queue;

	snprintf(name, sizeof(name), "/crio-refused-%d", getpid());
	queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL);
	need(queue >= 0 && mq_unlink(name) == 0);
	return queue;
}

/* Without a name it goes with the process, and its messages with it. */
static void message_queue(void)
{
	need(mq_send(new_queue(), "message", 7, 0) == 0);
}

static void message_queue_that_notifies(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };

	need(mq_notify(new_queue(), &event) == 0);
}

static void pidfd_outside(void)
{
	need(syscall(SYS_pidfd_open, getppid(), 0) >= 0);
}

static int ends[2];

static void nothing(void)
{
}

static void epoll_outside(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(0);

	need(epoll >= 0 && pipe(ends) == 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == 0);
	outside(nothing);
	need(close(ends[0]) == 0);
}

static void fanotify_permission(void)
{
	int group = fanotify_init(FAN_CLASS_CONTENT, O_RDONLY);

	need(group >= 0 && close(new_file()) == 0);
	need(fanotify_mark(group, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, path) == 0);
}

/* Watched by a name that is gone, and open nowhere in the tree. */
static void watch_without_path(void)
{
	int watch = inotify_init();
	int fd = new_file();

	need(watch >= 0 && inotify_add_watch(watch, path, IN_MODIFY) >= 0);
	outside(nothing);
	need(unlink(path) == 0 && close(fd) == 0);
}

static void large_ghost(void)
{
	int fd = new_file();

	need(unlink(path) == 0 && posix_fallocate(fd, 0, 4 << 20) == 0);
}

static void mapped_large_ghost(void)
{
	int fd = new_file();

	need(posix_fallocate(fd, 0, 4 << 20) == 0);
	need(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
	need(close(fd) == 0 && unlink(path) == 0);
}

static void unlinked(void)
{
	char folder[4096], other[4200];

	new_file();
	snprintf(folder, sizeof(folder), "%s.folder", path);
	snprintf(other, sizeof(other), "%s/other", folder);
	need(mkdir(folder, 0700) == 0 && link(path, other) == 0 && unlink(path) == 0);
}

static void locked(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	need(fcntl(new_file(), F_SETLK, &lock) == 0);
}

static int lease_of(int flags, int kind)
{
	int fd;

	need(close(new_file()) == 0);
	fd = open(path, flags);
	need(fd >= 0 && fcntl(fd, F_SETLEASE, kind) == 0);
	return fd;
}

static void lease(void)
{
	lease_of(O_RDONLY, F_RDLCK);
}

/* The test unmounts what is at its path in the end. */
static void hidden_by_mount(void)
{
	char below[4096];

	need(mkdir(path, 0700) == 0);
	snprintf(below, sizeof(below), "%s/file", path);
	need(open(below, O_RDWR | O_CREAT, 0600) >= 0 && mount("none", path, "tmpfs", 0, NULL) == 0);
	need(close(open(below, O_RDWR | O_CREAT, 0600)) == 0);
}

/* A working directory of a file system that is no longer mounted anywhere. */
static void unmounted_directory(void)
{
	char below[256];

	need(snprintf(below, sizeof(below), "%s/below", path) > 0 && mkdir(path, 0700) == 0);
	need(mount("none", path, "tmpfs", 0, NULL) == 0 && mkdir(below, 0700) == 0);
	need(chdir(below) == 0 && umount2(path, MNT_DETACH) == 0);
}

static void unmounted_file(void)
{
	char inside[256];

	need(snprintf(inside, sizeof(inside), "%s/inside", path) > 0 && mkdir(path, 0700) == 0);
	need(mount("none", path, "tmpfs", 0, NULL) == 0 && open(inside, O_RDWR | O_CREAT, 0600) >= 0);
	need(umount2(path, MNT_DETACH) == 0);
}

const struct thing file_things[] = {
	{ "namespace file", namespace_file, 0 },
	{ "secret memory", secret_memory, 0 },
	{ "other device", other_device, 0 },
	{ "virtual machine", virtual_machine, 0 },
	{ "block device", block_device, 0 },
	{ "userfaultfd", userfaultfd, 0 },
	{ "BPF map", bpf_map, 0 },
	{ "landlock ruleset", landlock_ruleset, 0 },
	{ "message queue", message_queue, 0 },
	{ "message queue that notifies", message_queue_that_notifies, 0 },
	{ "pidfd outside", pidfd_outside, 0 },
	{ "epoll outside", epoll_outside, 0 },
	{ "fanotify permission", fanotify_permission, 0 },
	{ "watch without path", watch_without_path, 0 },
	{ "large ghost", large_ghost, 0 },
	{ "mapped large ghost", mapped_large_ghost, 0 },
	{ "unlinked", unlinked, 0 },
	{ "locked", locked, 0 },
	{ "lease", lease, 0 },
	{ "hidden by mount", hidden_by_mount, 0 },
	{ "unmounted directory", unmounted_directory, 0 },
	{ "unmounted file", unmounted_file, 0 },
	{ NULL, NULL, 0 },
};
