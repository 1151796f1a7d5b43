/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A socket in flight to itself, with a message, and another that only a third one in flight leads to (unix(7)). */
#include "zdtm.h"

#include <sys/socket.h>

static void pass_on(int through, int fd, const char *text)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { (char *)text, 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	struct cmsghdr *header;

	message.msg_controllen = sizeof(control);
	header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	check(sendmsg(through, &message, 0) == 1, "sendmsg");
}

static int take(int from, char expected)
{
	char control[CMSG_SPACE(sizeof(int))], got;
	struct iovec iov = { &got, 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	int fd;

	message.msg_controllen = sizeof(control);
	check(recvmsg(from, &message, MSG_DONTWAIT) == 1 && got == expected, "recvmsg");
	check(CMSG_FIRSTHDR(&message) != NULL, "no descriptor came");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

int main(int argc, char **argv)
{
	int own[2], outer[2], inner[2], fd;
	char got[10];

	test_init(argc, argv);
	check(socketpair(AF_UNIX, SOCK_DGRAM, 0, own) == 0, "socketpair");
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, outer) == 0, "socketpair");
	check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, inner) == 0, "socketpair");
	pass_on(own[0], own[1], "s");
	pass_on(inner[0], own[0], "i");
	pass_on(outer[0], inner[1], "o");
	check(close(inner[1]) == 0, "close");

	test_daemon();
	test_waitsig();

	fd = take(own[1], 's');
	check(send(own[0], "loop", 4, 0) == 4 && recv(fd, got, 10, MSG_DONTWAIT) == 4, "it is another socket");
	fd = take(outer[1], 'o');
	check(send(inner[0], "more", 4, 0) == 4, "send");
	fd = take(fd, 'i');
	check(send(fd, "self", 4, 0) == 4 && recv(own[1], got, 10, MSG_DONTWAIT) == 4, "the innermost is another one");
	return pass();
}
