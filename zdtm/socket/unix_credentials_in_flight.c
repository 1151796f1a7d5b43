/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Credentials of unread messages: of a child, of other ids, and none where nobody asked for them (SCM_CREDENTIALS). */
#include "zdtm.h"

#include <sys/prctl.h>
#include <sys/socket.h>

static int ends[2];

static int child(void *argument)
{
	(void)argument;
	check(setresgid(-1, 1234, -1) == 0 && setresuid(-1, 4321, -1) == 0, "setresuid");
	check(send(ends[0], "child", 5, 0) == 5, "send");
	test_waitsig();
	return 0;
}

static struct ucred receive(size_t size)
{
	char control[CMSG_SPACE(sizeof(struct ucred))], got[100];
	struct iovec iov = { got, sizeof(got) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	struct ucred credentials;

	message.msg_controllen = sizeof(control);
	check(recvmsg(ends[1], &message, MSG_DONTWAIT) == (ssize_t)size, "a read does not stop between senders");
	check(CMSG_FIRSTHDR(&message) && CMSG_FIRSTHDR(&message)->cmsg_type == SCM_CREDENTIALS, "no credentials");
	memcpy(&credentials, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(credentials));
	return credentials;
}

int main(int argc, char **argv)
{
	struct ucred seen;
	int one = 1;
	char peeked[20];
	pid_t pid;

	test_init(argc, argv);
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
	check(send(ends[0], "unasked", 7, 0) == 7, "send");
	check(setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) == 0, "SO_PASSCRED");
	check(send(ends[0], "own", 3, 0) == 3, "send");
	pid = test_fork(child, NULL);
	check(recv(ends[1], peeked, sizeof(peeked), MSG_PEEK) == 7, "recv");
	wait_asleep(pid);

	test_daemon();
	test_waitsig();

	seen = receive(7);
	check(seen.pid == 0, "process %d has sent what nobody asked the sender of", (int)seen.pid);
	seen = receive(3);
	check(seen.pid == getpid() && seen.uid == getuid(), "process %d, user %d", (int)seen.pid, (int)seen.uid);
	seen = receive(5);
	check(seen.pid == pid, "process %d instead of %d", (int)seen.pid, (int)pid);
	/* The kernel sends real ids. */
	check(seen.uid == getuid() && seen.gid == getgid(), "user %d, group %d", (int)seen.uid, (int)seen.gid);
	test_join(pid);
	return pass();
}
