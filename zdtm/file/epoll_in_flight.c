/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* An epoll instance that nobody has open: it waits in the very socket that it watches (SCM_RIGHTS, unix(7)). */
#include "zdtm.h"

#include <sys/epoll.h>
#include <sys/socket.h>

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

static void send_file(int socket, int fd)
{
	union control control = { .header = { CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec byte = { "x", 1 };
	struct msghdr message = { .msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control.room) };

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	check(sendmsg(socket, &message, 0) == 1, "sendmsg");
}

static int receive_file(int socket)
{
	union control control;
	char byte;
	struct iovec room = { &byte, 1 };
	struct msghdr message = { .msg_iov = &room, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control.room) };
	int fd;

	check(recvmsg(socket, &message, MSG_DONTWAIT) == 1 && message.msg_controllen >= CMSG_LEN(sizeof(fd)), "recvmsg");
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	return fd;
}

int main(int argc, char **argv)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 0x1234567890ull };
	int epoll, ends[2];

	test_init(argc, argv);
	epoll = epoll_create1(0);
	check(epoll >= 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0, "socketpair");
	check(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[1], &event) == 0, "epoll_ctl");
	send_file(ends[0], epoll);
	check(close(epoll) == 0, "close");

	test_daemon();
	test_waitsig();

	epoll = receive_file(ends[1]);
	check(epoll_wait(epoll, &event, 1, 0) == 0, "it reports what was read");
	check(send(ends[0], "y", 1, 0) == 1, "send");
	check(epoll_wait(epoll, &event, 1, 0) == 1 && event.data.u64 == 0x1234567890ull, "it does not watch the socket");
	check(epoll_ctl(epoll, EPOLL_CTL_DEL, ends[1], NULL) == 0, "it watches another number");
	return pass();
}
