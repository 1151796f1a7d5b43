/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Open files of /proc about descriptors of the task itself, a higher one too, and of its child: they are there only as
 * long as the descriptor is. */
#include "zdtm.h"

#include <fcntl.h>

static int wait_for_end(void *argument)
{
	(void)argument;
	test_waitsig();
	return 0;
}

static int open_about(const char *whose, int fd)
{
	char path[64];
	int about;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo/%d", whose, fd);
	about = open(path, O_RDONLY);
	check(about >= 0, "open %s", path);
	return about;
}

static void says(int about, long position)
{
	char text[256], expected[32];
	ssize_t got = pread(about, text, sizeof(text) - 1, 0);

	check(got > 0, "read");
	text[got] = '\0';
	snprintf(expected, sizeof(expected), "pos:\t%ld\n", position);
	check(strncmp(text, expected, strlen(expected)) == 0, "fdinfo says %s", text);
}

int main(int argc, char **argv)
{
	int file, high, own, own_high, of_child;
	char child_name[16];
	pid_t child;

	test_init(argc, argv);
	file = open(test_filename, O_RDWR | O_CREAT, 0600);
	check(file >= 0 && lseek(file, 11, SEEK_SET) == 11, "open %s", test_filename);
	high = fcntl(open(test_filename, O_RDONLY), F_DUPFD, 200);
	check(high >= 200 && lseek(high, 22, SEEK_SET) == 22, "dup");
	child = test_fork(wait_for_end, NULL);
	snprintf(child_name, sizeof(child_name), "%d", child);
	own = open_about("self", file);
	own_high = open_about("thread-self", high);
	of_child = open_about(child_name, file);
	test_daemon();
	test_waitsig();
	says(own, 11);
	says(own_high, 22);
	says(of_child, 11);
	check(lseek(file, 33, SEEK_SET) == 33, "lseek");
	says(own, 33);
	test_join(child);
	return pass();
}
