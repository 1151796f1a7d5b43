/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* epoll(7): files with their events and data, ready ones and others, and that each can be changed and removed. */
#include "zdtm.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#define MASK 0xfedcba9876543210ULL

static int epoll;

static void add(int fd, uint32_t events, uint64_t data)
{
	check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ events, { .u64 = data } }) == 0, "epoll_ctl");
}

/* Waits for one file; returns its data, and fails if there are more. */
static uint64_t only_ready(uint32_t events)
{
	struct epoll_event ready[4];
	int count = epoll_wait(epoll, ready, ARRAY_SIZE(ready), 0);

	check(count == 1, "%d files are ready", count);
	check(ready[0].events == events, "its events are %#x", ready[0].events);
	return ready[0].data.u64;
}

int main(int argc, char **argv)
{
	int full[2], empty[2], counter;
	struct epoll_event none;
	char byte;

	test_init(argc, argv);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	counter = eventfd(0, 0);
	check(epoll >= 0 && counter >= 0 && pipe(full) == 0 && pipe(empty) == 0, "prepare");
	add(full[0], EPOLLIN | EPOLLRDHUP, MASK);
	add(empty[0], EPOLLIN, 2);
	add(counter, EPOLLIN, 3);
	check(write(full[1], "x", 1) == 1, "write");

	test_daemon();
	test_waitsig();

	check(only_ready(EPOLLIN) == MASK, "data of the full pipe");
	check(read(full[0], &byte, 1) == 1, "read");
	check(epoll_wait(epoll, &none, 1, 0) == 0, "a file is ready");
	check(write(empty[1], "y", 1) == 1, "write");
	check(only_ready(EPOLLIN) == 2, "data of the other pipe");
	check(epoll_ctl(epoll, EPOLL_CTL_DEL, empty[0], NULL) == 0, "remove");
	check(epoll_ctl(epoll, EPOLL_CTL_MOD, counter, &(struct epoll_event){ EPOLLOUT, { .u64 = 4 } }) == 0, "change");
	check(only_ready(EPOLLOUT) == 4, "data of the eventfd");
	check(epoll_ctl(epoll, EPOLL_CTL_DEL, counter, NULL) == 0, "remove");
	check(close(full[1]) == 0 && only_ready(EPOLLHUP) == MASK, "the end of the first pipe");
	return pass();
}
