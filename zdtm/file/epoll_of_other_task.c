/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* epoll(7) goes on watching a file that the process has closed, as long as another one has it open. */
#include "zdtm.h"

#include <sys/epoll.h>

static int ends[2];

static int child(void *said)
{
	test_waitsig();
	check(write(ends[1], "x", 1) == 1, "write");
	barrier_post(said);
	/* Keeps the reading end open. */
	barrier_wait(said, 2);
	return 0;
}

int main(int argc, char **argv)
{
	struct epoll_event event = { EPOLLIN, { .u64 = 77 } };
	struct barrier *said;
	int epoll;
	pid_t pid;

	test_init(argc, argv);
	epoll = epoll_create1(0);
	check(epoll >= 0 && pipe(ends) == 0, "prepare");
	check(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == 0, "epoll_ctl");
	said = barrier_new();
	pid = test_fork(child, said);
	check(close(ends[0]) == 0 && close(ends[1]) == 0, "close");

	test_daemon();
	test_waitsig();

	check(epoll_wait(epoll, &event, 1, 0) == 0, "the file is ready");
	kill(pid, SIGTERM);
	barrier_wait(said, 1);
	memset(&event, 0, sizeof(event));
	check(epoll_wait(epoll, &event, 1, 60000) == 1, "the file does not get ready");
	check(event.events == EPOLLIN && event.data.u64 == 77, "events %#x", event.events);
	barrier_post(said);
	test_join(pid);
	return pass();
}
