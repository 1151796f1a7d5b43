/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* fanotify(7): marks on a mount and on a whole file system. */
#include "zdtm.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/fanotify.h>

#ifndef FAN_MARK_FILESYSTEM
#define FAN_MARK_FILESYSTEM 0x100
#endif

/* Whether the group reports a new file of ours, among what others do there. */
static bool reports(int group)
{
	struct fanotify_event_metadata events[64];
	char path[64];
	bool found = false;
	ssize_t length, i;

	snprintf(path, sizeof(path), "/dev/shm/zdtm-fanotify-%d", getpid());
	check(write_text(path, "x") == 0 && unlink(path) == 0, "write %s", path);
	while ((length = read(group, events, sizeof(events))) > 0)
		for (i = 0; i < length / (ssize_t)sizeof(events[0]); i++) {
			found |= events[i].pid == getpid() && events[i].mask & FAN_MODIFY;
			close(events[i].fd);
		}
	errno = 0;
	return found;
}

static int marked(unsigned int on)
{
	int group = fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK, O_RDONLY);

	check(group >= 0, "fanotify_init");
	check(fanotify_mark(group, FAN_MARK_ADD | on, FAN_MODIFY, AT_FDCWD, "/dev/shm") == 0, "fanotify_mark");
	return group;
}

int main(int argc, char **argv)
{
	int mount, system;

	test_init(argc, argv);
	mount = marked(FAN_MARK_MOUNT);
	system = marked(FAN_MARK_FILESYSTEM);

	test_daemon();
	test_waitsig();

	check(reports(mount), "the mark on the mount is gone");
	check(reports(system), "the mark on the file system is gone");
	check(fanotify_mark(system, FAN_MARK_REMOVE | FAN_MARK_FILESYSTEM, FAN_MODIFY, AT_FDCWD, "/dev/shm") == 0,
	      "it is on something else");
	return pass();
}
