/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* inotify(7): a watch on a file that is deleted but open, and one on a file that was renamed. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

static int inotify;

static void expect(int wd, uint32_t mask)
{
	struct inotify_event event = { 0 };

	check(read(inotify, &event, sizeof(event)) == sizeof(event), "no event for watch %d", wd);
	check(event.wd == wd && event.mask == mask, "event %#x for watch %d", event.mask, event.wd);
}

int main(int argc, char **argv)
{
	int file, deleted, renamed;
	char other[4096];

	test_init(argc, argv);
	snprintf(other, sizeof(other), "%s.other", test_filename);
	inotify = inotify_init1(IN_NONBLOCK);
	file = open(test_filename, O_RDWR | O_CREAT, 0600);
	check(inotify >= 0 && file >= 0, "prepare");
	deleted = inotify_add_watch(inotify, test_filename, IN_MODIFY | IN_DELETE_SELF);
	check(unlink(test_filename) == 0, "unlink");
	check(write_text(test_filename, "x") == 0 && rename(test_filename, other) == 0, "prepare");
	renamed = inotify_add_watch(inotify, other, IN_ATTRIB);
	check(rename(other, test_filename) == 0, "rename");
	check(deleted == 1 && renamed == 2, "inotify_add_watch");

	test_daemon();
	test_waitsig();

	check(write(file, "x", 1) == 1, "write");
	expect(deleted, IN_MODIFY);
	check(chmod(test_filename, 0640) == 0, "chmod");
	expect(renamed, IN_ATTRIB);
	check(close(file) == 0, "close");
	expect(deleted, IN_DELETE_SELF);
	expect(deleted, IN_IGNORED);
	return pass();
}
