/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Two open(2) calls of one path, in one process and in two, are descriptions of their own. */
#include "zdtm.h"

#include <fcntl.h>

static struct barrier *opened;

static int child(void *argument)
{
	int fd = open(test_filename, O_RDWR);

	(void)argument;
	check(fd >= 0 && lseek(fd, 33, SEEK_SET) == 33, "open");
	barrier_post(opened);
	test_waitsig();
	check(lseek(fd, 0, SEEK_CUR) == 33, "the child's offset is %jd", (intmax_t)lseek(fd, 0, SEEK_CUR));
	check(write(fd, "child", 5) == 5, "write");
	return 0;
}

int main(int argc, char **argv)
{
	char text[5];
	pid_t pid;
	int first, second;

	test_init(argc, argv);
	opened = barrier_new();
	first = open(test_filename, O_RDWR | O_CREAT, 0600);
	pid = test_fork(child, NULL);
	barrier_wait(opened, 1);
	second = open(test_filename, O_RDWR);
	check(first >= 0 && lseek(first, 11, SEEK_SET) == 11, "open");
	check(second >= 0 && lseek(second, 22, SEEK_SET) == 22, "open");

	test_daemon();
	test_waitsig();

	test_join(pid);
	check(lseek(first, 0, SEEK_CUR) == 11, "the first offset is %jd", (intmax_t)lseek(first, 0, SEEK_CUR));
	check(lseek(second, 0, SEEK_CUR) == 22, "the second offset is %jd", (intmax_t)lseek(second, 0, SEEK_CUR));
	check(write(first, "x", 1) == 1, "write");
	check(lseek(second, 0, SEEK_CUR) == 22, "the second offset moved with the first");
	check(pread(second, text, 5, 33) == 5 && !memcmp(text, "child", 5),
	      "the child's bytes are not in the same file");
	return pass();
}
