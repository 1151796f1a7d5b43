/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Processes that sockets name although they are dead: the sender of an unread message (SCM_CREDENTIALS), and who was at the
 * other end (SO_PEERCRED). */
#include "zdtm.h"

#include <sys/socket.h>
#include <sys/un.h>

static int pair[2];
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t len = sizeof(sa_family_t);

/* Sends, connects as another user, and is gone. */
static int connects(void *argument)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)argument;
	check(send(pair[0], "last", 4, 0) == 4, "send");
	check(setresgid(-1, 1234, -1) == 0 && setresuid(-1, 4321, -1) == 0, "setresuid");
	check(connect(fd, (void *)&address, len) == 0, "connect");
	return 0;
}

static struct ucred sender(void)
{
	char control[CMSG_SPACE(sizeof(struct ucred))], got[100];
	struct iovec iov = { got, sizeof(got) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	struct ucred credentials;

	message.msg_controllen = sizeof(control);
	check(recvmsg(pair[1], &message, MSG_DONTWAIT) == 4, "recvmsg");
	check(CMSG_FIRSTHDR(&message) && CMSG_FIRSTHDR(&message)->cmsg_type == SCM_CREDENTIALS, "no credentials");
	memcpy(&credentials, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(credentials));
	return credentials;
}

int main(int argc, char **argv)
{
	int server, accepted, one = 1;
	socklen_t size = sizeof(struct ucred);
	struct ucred seen;
	pid_t child;

	test_init(argc, argv);
	check(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0, "socketpair");
	check(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) == 0, "SO_PASSCRED");
	server = socket(AF_UNIX, SOCK_STREAM, 0);
	/* The kernel chooses a name without a file. */
	check(bind(server, (void *)&address, len) == 0 && listen(server, 1) == 0, "bind");
	len = sizeof(address);
	check(getsockname(server, (void *)&address, &len) == 0, "getsockname");
	child = test_fork(connects, NULL);
	accepted = accept(server, NULL, NULL);
	check(accepted >= 0, "accept");
	test_join(child);

	test_daemon();
	test_waitsig();

	seen = sender();
	check(seen.pid == child, "process %d has sent, and not %d", (int)seen.pid, (int)child);
	check(getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &seen, &size) == 0, "SO_PEERCRED");
	check(seen.pid == child && seen.uid == 4321 && seen.gid == 1234, "process %d, user %d, group %d is the client",
	      (int)seen.pid, (int)seen.uid, (int)seen.gid);
	check(kill(child, 0) == -1 && errno == ESRCH, "process %d is there", (int)child);
	return pass();
}
