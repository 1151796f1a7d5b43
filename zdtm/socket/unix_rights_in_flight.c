/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Descriptors in flight: a file that nobody else has open, the end of a pipe, with the bytes that they belong to. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

static void send_with(int fd, const char *text, int *rights, size_t count)
{
	char control[CMSG_SPACE(4 * sizeof(int))] = { 0 };
	struct iovec iov = { (char *)text, strlen(text) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	struct cmsghdr *header;

	message.msg_controllen = CMSG_SPACE(count * sizeof(int));
	header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(header), rights, count * sizeof(int));
	check(sendmsg(fd, &message, 0) == (ssize_t)strlen(text), "sendmsg");
}

static size_t receive_with(int fd, char *text, size_t size, int *rights)
{
	char control[CMSG_SPACE(4 * sizeof(int))];
	struct iovec iov = { text, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	struct cmsghdr *header;

	message.msg_controllen = sizeof(control);
	check(recvmsg(fd, &message, MSG_DONTWAIT) == (ssize_t)size, "recvmsg");
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return 0;
	memcpy(rights, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
	return (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
}

int main(int argc, char **argv)
{
	int ends[2], pipes[2], rights[4];
	char got[10];

	test_init(argc, argv);
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && pipe(pipes) == 0, "socketpair");
	rights[0] = open(test_filename, O_RDWR | O_CREAT, 0600);
	check(rights[0] >= 0 && write(rights[0], "content", 7) == 7 && lseek(rights[0], 2, SEEK_SET) == 2, "open");
	rights[1] = pipes[1];
	send_with(ends[0], "rights", rights, 2);
	check(write(ends[0], "plain", 5) == 5, "write");
	check(close(rights[0]) == 0 && close(pipes[1]) == 0, "close");

	test_daemon();
	test_waitsig();

	check(receive_with(ends[1], got, 1, rights) == 2 && got[0] == 'r', "the descriptors are not with their byte");
	check(read(rights[0], got, 10) == 5 && !memcmp(got, "ntent", 5), "the file has another position");
	check(write(rights[1], "through", 7) == 7 && read(pipes[0], got, 10) == 7, "it is another pipe");
	check(close(rights[1]) == 0 && read(pipes[0], got, 10) == 0, "somebody else holds the pipe");
	check(receive_with(ends[1], got, 10, rights) == 0 && !memcmp(got, "ightsplain", 10), "the rest");
	check(unlink(test_filename) == 0, "unlink");
	return pass();
}
