/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Another process handles the faults: it alone has the descriptor, which it got by a message. */
#include "userfaultfd.h"

#include <sys/socket.h>

enum { PAGES = 8 };

static int ends[2];

/* Sends a descriptor, or receives one if it is -1. */
static int pass_descriptor(int fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	char byte = 0;
	struct iovec data = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		check(sendmsg(ends[0], &message, 0) == 1, "sendmsg");
	} else {
		check(recvmsg(ends[1], &message, 0) == 1, "recvmsg");
		memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	}
	return fd;
}

static int monitor(void *area)
{
	int fd = pass_descriptor(-1);
	uint64_t flags;
	char *page;

	while (test_go())
		if (uffd_fault(fd, 100, &flags, &page))
			uffd_copy(fd, page, (page - (char *)area) / page_size());
	return 0;
}

int main(int argc, char **argv)
{
	char *area;
	pid_t child;
	int fd;

	test_init(argc, argv);
	area = map_pages(PAGES);
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
	child = test_fork(monitor, area);
	fd = uffd_new(0);
	uffd_register(fd, area, PAGES, UFFDIO_REGISTER_MODE_MISSING);
	check(pass_descriptor(fd) == fd && close(fd) == 0, "close");
	check(pattern_holds(area, page_size(), 0), "the monitor works");

	test_daemon();
	test_waitsig();

	for (size_t i = 0; i < PAGES; i++)
		check(pattern_holds(area + i * page_size(), page_size(), i), "page %zu", i);
	test_join(child);
	return pass();
}
