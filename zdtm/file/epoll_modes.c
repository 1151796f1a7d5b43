/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* How epoll(7) reports: EPOLLONESHOT armed and already disarmed, EPOLLET, EPOLLEXCLUSIVE. */
#include "zdtm.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

static int epoll;

static int watched(uint32_t events, uint32_t data)
{
	int fd = eventfd(0, EFD_NONBLOCK);

	check(fd >= 0, "eventfd");
	check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ events, { .u32 = data } }) == 0, "epoll_ctl");
	return fd;
}

static void count(int fd)
{
	check(write(fd, &(uint64_t){ 1 }, sizeof(uint64_t)) == sizeof(uint64_t), "write");
}

/* The sum of the data of all that is ready. */
static uint32_t ready(void)
{
	struct epoll_event events[8];
	int found = epoll_wait(epoll, events, ARRAY_SIZE(events), 0);
	uint32_t sum = 0;

	while (found-- > 0)
		sum += events[found].data.u32;
	return sum;
}

int main(int argc, char **argv)
{
	int disarmed, armed, edge, exclusive;

	test_init(argc, argv);
	epoll = epoll_create1(0);
	check(epoll >= 0, "epoll_create1");
	disarmed = watched(EPOLLIN | EPOLLONESHOT, 1);
	armed = watched(EPOLLIN | EPOLLONESHOT, 2);
	edge = watched(EPOLLIN | EPOLLET, 4);
	exclusive = watched(EPOLLIN | EPOLLEXCLUSIVE, 8);
	count(disarmed);
	check(ready() == 1 && ready() == 0, "EPOLLONESHOT");

	test_daemon();
	test_waitsig();

	check(ready() == 0, "the disarmed one reports again");
	count(disarmed);
	check(ready() == 0, "the disarmed one reports what is new");
	check(epoll_ctl(epoll, EPOLL_CTL_MOD, disarmed, &(struct epoll_event){ EPOLLIN, { .u32 = 1 } }) == 0, "rearm");
	check(ready() == 1 && ready() == 1, "it does not report when armed again");
	check(epoll_ctl(epoll, EPOLL_CTL_DEL, disarmed, NULL) == 0, "remove");
	count(armed);
	check(ready() == 2 && ready() == 0, "EPOLLONESHOT is gone");
	count(edge);
	check(ready() == 4 && ready() == 0, "EPOLLET is gone");
	count(exclusive);
	check(ready() == 8, "the exclusive one is silent");
	check(epoll_ctl(epoll, EPOLL_CTL_MOD, exclusive, &(struct epoll_event){ .events = EPOLLIN }) == -1 &&
	      errno == EINVAL, "EPOLLEXCLUSIVE is gone");
	errno = 0;
	return pass();
}
