/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* fanotify(7): marks on a file, with what it ignores, and on a directory; the events open the files. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/fanotify.h>
#include <sys/stat.h>

static int group;

/* Reads one event and takes its file; returns its mask, 0 if there is none. */
static uint64_t event_on(const char *path)
{
	struct fanotify_event_metadata event;
	struct stat here, there;

	if (read(group, &event, sizeof(event)) != sizeof(event)) {
		check(errno == EAGAIN, "read");
		errno = 0;
		return 0;
	}
	check(event.pid == getpid() && event.fd >= 0, "process %d", event.pid);
	check(fstat(event.fd, &here) == 0 && stat(path, &there) == 0 && here.st_ino == there.st_ino, "another file");
	check((fcntl(event.fd, F_GETFL) & O_ACCMODE) == O_RDWR, "flags of the file are %#x", fcntl(event.fd, F_GETFL));
	check(close(event.fd) == 0, "close");
	return event.mask;
}

static void open_and_read(const char *path)
{
	char text[8];

	check(read_text(path, text, sizeof(text)) == 1, "read %s", path);
}

int main(int argc, char **argv)
{
	char inside[4096];
	int fd;

	test_init(argc, argv);
	snprintf(inside, sizeof(inside), "%s/inside", test_dirname);
	check(write_text(test_filename, "x") == 0 && mkdir(test_dirname, 0700) == 0, "prepare");
	check(write_text(inside, "x") == 0, "prepare");
	group = fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_CLOEXEC, O_RDWR);
	check(group >= 0, "fanotify_init");
	check(fanotify_mark(group, FAN_MARK_ADD, FAN_OPEN | FAN_ACCESS, AT_FDCWD, test_filename) == 0, "mark");
	check(fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, FAN_ACCESS,
			    AT_FDCWD, test_filename) == 0, "mark");
	check(fanotify_mark(group, FAN_MARK_ADD, FAN_MODIFY | FAN_EVENT_ON_CHILD, AT_FDCWD, test_dirname) == 0, "mark");

	test_daemon();
	test_waitsig();

	check(event_on(test_filename) == 0, "an event that the program has not caused");
	open_and_read(test_filename);
	check(event_on(test_filename) == FAN_OPEN, "no event, or what is ignored");
	check(event_on(test_filename) == 0, "another event");
	open_and_read(inside);
	fd = open(inside, O_WRONLY);
	check(fd >= 0 && write(fd, "y", 1) == 1 && close(fd) == 0, "write");
	check(event_on(inside) == FAN_MODIFY, "no event of the file in the directory");
	check(fanotify_mark(group, FAN_MARK_REMOVE, FAN_OPEN, AT_FDCWD, test_filename) == 0, "remove");
	open_and_read(test_filename);
	check(event_on(test_filename) == 0, "a removed mark reports");
	return pass();
}
