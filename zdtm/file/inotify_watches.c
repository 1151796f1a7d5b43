/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* inotify(7): watches with their numbers, masks and flags; what was done to restore the files is not reported. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static char path[4096];
static int inotify;

static const char *in_dir(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", test_dirname, name);
	return path;
}

/* Reads one event, and fails if it is another one. */
static void expect(int wd, uint32_t mask, const char *name)
{
	char buffer[sizeof(struct inotify_event) + 256] __attribute__((aligned(8)));
	struct inotify_event *event = (struct inotify_event *)buffer;
	int waiting;

	check(ioctl(inotify, FIONREAD, &waiting) == 0 && waiting > 0, "no event %#x for watch %d", mask, wd);
	check(read(inotify, buffer, sizeof(*event) + (name ? 16 : 0)) > 0, "read");
	check(event->wd == wd && event->mask == mask, "event %#x for watch %d", event->mask, event->wd);
	check(!name || !strcmp(event->name, name), "event for %s", event->name);
}

int main(int argc, char **argv)
{
	int dir, file, once, removed, waiting, deleted;

	test_init(argc, argv);
	check(mkdir(test_dirname, 0700) == 0 && write_text(in_dir("file"), "x") == 0, "prepare");
	check(write_text(in_dir("once"), "x") == 0 && write_text(in_dir("deleted"), "x") == 0, "prepare");
	deleted = open(in_dir("deleted"), O_RDWR);
	check(deleted >= 0 && unlink(path) == 0, "unlink");
	inotify = inotify_init1(IN_NONBLOCK);
	removed = inotify_add_watch(inotify, "/", IN_UNMOUNT | IN_DELETE_SELF);
	file = inotify_add_watch(inotify, in_dir("file"), IN_MODIFY | IN_ATTRIB);
	dir = inotify_add_watch(inotify, test_dirname, IN_CREATE | IN_DELETE | IN_OPEN | IN_EXCL_UNLINK);
	once = inotify_add_watch(inotify, in_dir("once"), IN_ATTRIB | IN_ONESHOT);
	check(inotify >= 0 && removed == 1 && file == 2 && dir == 3 && once == 4, "inotify");
	check(inotify_rm_watch(inotify, removed) == 0, "remove");
	expect(removed, IN_IGNORED, NULL);

	test_daemon();
	test_waitsig();

	check(ioctl(inotify, FIONREAD, &waiting) == 0 && waiting == 0, "%d bytes of events", waiting);
	check(truncate(in_dir("file"), 0) == 0, "truncate");
	expect(file, IN_MODIFY, NULL);
	check(chmod(in_dir("once"), 0600) == 0, "chmod");
	expect(once, IN_ATTRIB, NULL);
	expect(once, IN_IGNORED, NULL);
	check(chmod(in_dir("once"), 0644) == 0, "chmod");
	check(mkdir(in_dir("new"), 0700) == 0, "mkdir");
	expect(dir, IN_CREATE | IN_ISDIR, "new");
	check(rmdir(path) == 0, "rmdir");
	expect(dir, IN_DELETE | IN_ISDIR, "new");
	check(inotify_rm_watch(inotify, file) == 0, "the number of a watch");
	expect(file, IN_IGNORED, NULL);
	check(ioctl(inotify, FIONREAD, &waiting) == 0 && waiting == 0, "%d bytes of events are left", waiting);
	check(inotify_add_watch(inotify, "/", IN_DELETE_SELF) > once, "a number is given twice");
	return pass();
}
