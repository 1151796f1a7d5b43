/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Unread messages of netlink sockets (netlink(7)): of another socket of the program, and of one that is gone. Each comes from
 * the port that it was sent from. */
#include "zdtm.h"

#include <linux/netlink.h>
#include <sys/socket.h>

static int open_netlink(struct sockaddr_nl *name)
{
	socklen_t len = sizeof(*name);
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);

	*name = (struct sockaddr_nl){ .nl_family = AF_NETLINK };
	check(fd >= 0 && bind(fd, (void *)name, len) == 0 && getsockname(fd, (void *)name, &len) == 0, "netlink");
	return fd;
}

static void sends(int fd, const char *text, const struct sockaddr_nl *to)
{
	check(sendto(fd, text, strlen(text), 0, (void *)to, sizeof(*to)) == (ssize_t)strlen(text), "sendto");
}

static void has(int fd, const char *text, const struct sockaddr_nl *sender)
{
	struct sockaddr_nl from = { 0 };
	socklen_t len = sizeof(from);
	char got[100] = "";

	check(recvfrom(fd, got, sizeof(got), MSG_DONTWAIT, (void *)&from, &len) == (ssize_t)strlen(text), "\"%s\" is lost", text);
	check(strcmp(got, text) == 0 && from.nl_pid == sender->nl_pid && from.nl_groups == 0, "\"%s\" of port %u", got,
	      from.nl_pid);
	check(recv(fd, got, sizeof(got), MSG_DONTWAIT) == -1 && errno == EAGAIN, "there is more");
}

int main(int argc, char **argv)
{
	struct sockaddr_nl names[3], gone;
	int fds[3], leaving;

	test_init(argc, argv);
	for (int i = 0; i < 3; i++)
		fds[i] = open_netlink(&names[i]);
	leaving = open_netlink(&gone);
	sends(fds[0], "first to second", &names[1]);
	sends(leaving, "from one that leaves", &names[0]);
	/* To itself, and then it talks to somebody else only. */
	sends(fds[2], "to itself", &names[2]);
	check(connect(fds[2], (void *)&names[0], sizeof(names[0])) == 0 && close(leaving) == 0, "connect");

	test_daemon();
	test_waitsig();

	has(fds[1], "first to second", &names[0]);
	has(fds[0], "from one that leaves", &gone);
	has(fds[2], "to itself", &names[2]);
	check(send(fds[2], "x", 1, 0) == 1, "send");
	has(fds[0], "x", &names[2]);
	return pass();
}
