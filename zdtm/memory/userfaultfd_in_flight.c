/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A userfaultfd is in a message that nobody has received; an epoll instance watches it. */
#include "userfaultfd.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static union {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };

static void *waiter(void *page)
{
	return pattern_holds(page, page_size(), 7) ? page : NULL;
}

int main(int argc, char **argv)
{
	char byte = 0, *area, *page;
	struct iovec data = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	struct epoll_event event = { .events = EPOLLIN };
	int ends[2], epoll, fd;
	pthread_t thread;
	uint64_t flags;
	void *held;

	test_init(argc, argv);
	area = map_pages(1);
	fd = uffd_new(0);
	uffd_register(fd, area, 1, UFFDIO_REGISTER_MODE_MISSING);
	epoll = epoll_create1(0);
	check(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && sendmsg(ends[0], &message, 0) == 1, "sendmsg");
	check(close(fd) == 0, "close");

	test_daemon();
	test_waitsig();

	check(epoll_wait(epoll, &event, 1, 0) == 0, "there is a fault");
	check(pthread_create(&thread, NULL, waiter, area) == 0, "pthread_create");
	check(epoll_wait(epoll, &event, 1, 60000) == 1, "there is no fault");
	check(recvmsg(ends[1], &message, 0) == 1, "recvmsg");
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	check(uffd_fault(fd, 0, &flags, &page) && page == area, "another fault");
	uffd_copy(fd, page, 7);
	check(pthread_join(thread, &held) == 0 && held, "the page has changed");
	return pass();
}
