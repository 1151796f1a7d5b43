/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* epoll(7) in epoll in epoll, the outer one with a lower and with a higher number than the inner one. */
#include "zdtm.h"

#include <sys/epoll.h>
#include <unistd.h>

static void add(int epoll, int fd, uint32_t data)
{
	check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ EPOLLIN, { .u32 = data } }) == 0, "epoll_ctl");
}

static uint32_t ready(int epoll)
{
	struct epoll_event event = { 0 };

	return epoll_wait(epoll, &event, 1, 0) == 1 ? event.data.u32 : 0;
}

int main(int argc, char **argv)
{
	int outer, middle, inner, ends[2];
	char byte;

	test_init(argc, argv);
	outer = epoll_create1(0);
	inner = epoll_create1(0);
	middle = epoll_create1(0);
	check(outer >= 0 && inner > outer && middle > inner && pipe(ends) == 0, "prepare");
	add(inner, ends[0], 3);
	add(middle, inner, 2);
	add(outer, middle, 1);

	test_daemon();
	test_waitsig();

	check(ready(outer) == 0, "nothing happened, and the outer one is ready");
	check(write(ends[1], "x", 1) == 1, "write");
	check(ready(outer) == 1 && ready(middle) == 2 && ready(inner) == 3, "the event does not get through");
	check(read(ends[0], &byte, 1) == 1, "read");
	check(ready(outer) == 0 && ready(middle) == 0 && ready(inner) == 0, "it stays");
	errno = 0;
	check(epoll_ctl(inner, EPOLL_CTL_ADD, outer, &(struct epoll_event){ .events = EPOLLIN }) == -1 && errno == ELOOP,
	      "the chain is not closed by the kernel");
	errno = 0;
	return pass();
}
