/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* epoll(7) knows a file by the number under which it was added, also when that is closed, or belongs to another file,
 * while the file is open under another one. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/epoll.h>

static int epoll;

static void add(int fd, uint32_t data)
{
	check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ EPOLLIN, { .u32 = data } }) == 0, "epoll_ctl");
}

static uint32_t ready(void)
{
	struct epoll_event event = { 0 };

	return epoll_wait(epoll, &event, 1, 0) == 1 ? event.data.u32 : 0;
}

/* A pipe with its reading end moved away from the number by which epoll knows it; that end is returned. */
static int moved_away(int ends[2], uint32_t data)
{
	int moved;

	check(pipe(ends) == 0, "pipe");
	add(ends[0], data);
	moved = fcntl(ends[0], F_DUPFD, 100);
	check(moved >= 100 && close(ends[0]) == 0, "dup");
	return moved;
}

int main(int argc, char **argv)
{
	int closed[2], taken[2], third[2], moved[3];
	char byte;

	test_init(argc, argv);
	epoll = epoll_create1(0);
	check(epoll >= 0, "epoll_create1");
	moved[0] = moved_away(taken, 1);
	/* The first number is free again, and gets another file, which is watched too. */
	moved[1] = moved_away(third, 2);
	check(third[0] == taken[0], "the number was not taken");
	check(dup2(third[1], taken[0]) == taken[0], "dup2");
	moved[2] = moved_away(closed, 3);

	test_daemon();
	test_waitsig();

	check(ready() == 0, "something is ready");
	check(write(taken[1], "1", 1) == 1 && ready() == 1, "the file whose number was taken");
	check(read(moved[0], &byte, 1) == 1 && byte == '1' && ready() == 0, "read");
	check(write(third[1], "2", 1) == 1 && ready() == 2, "the second file of that number");
	check(read(moved[1], &byte, 1) == 1 && byte == '2' && ready() == 0, "read");
	check(write(closed[1], "3", 1) == 1 && ready() == 3, "the file whose number was closed");
	/* By its old number the target can be removed again. */
	check(dup2(moved[2], closed[0]) == closed[0], "dup2");
	check(epoll_ctl(epoll, EPOLL_CTL_DEL, closed[0], NULL) == 0 && ready() == 0, "it cannot be removed");
	return pass();
}
