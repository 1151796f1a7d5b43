/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Who is at the other end: the process that made a pair, the one that listens, the one that connects (SO_PEERCRED). */
#include "zdtm.h"

#include <sys/socket.h>
#include <sys/un.h>

static int pair[2], client;
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t len = sizeof(sa_family_t);

static struct ucred peer_of(int fd)
{
	struct ucred credentials = { 0, 0, 0 };
	socklen_t size = sizeof(credentials);

	check(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0, "SO_PEERCRED");
	return credentials;
}

static int connects(void *argument)
{
	(void)argument;
	check(setresgid(-1, 1234, -1) == 0 && setresuid(-1, 4321, -1) == 0, "setresuid");
	client = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	check(connect(client, (void *)&address, len) == 0, "connect");
	test_waitsig();
	check(peer_of(client).pid == getppid(), "the server is process %d", (int)peer_of(client).pid);
	check(peer_of(client).uid == 0, "the server is of user %d", (int)peer_of(client).uid);
	return 0;
}

int main(int argc, char **argv)
{
	int server, accepted;
	struct ucred seen;
	pid_t child;

	test_init(argc, argv);
	check(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0, "socketpair");
	server = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	check(bind(server, (void *)&address, len) == 0, "bind");
	len = sizeof(address);
	check(getsockname(server, (void *)&address, &len) == 0 && listen(server, 1) == 0, "listen");
	child = test_fork(connects, NULL);
	accepted = accept(server, NULL, NULL);
	check(accepted >= 0 && peer_of(accepted).pid == child, "accept");
	wait_asleep(child);

	test_daemon();
	test_waitsig();

	check(peer_of(pair[0]).pid == getpid() && peer_of(pair[1]).pid == getpid(), "the pair");
	seen = peer_of(accepted);
	check(seen.pid == child, "the client is process %d instead of %d", (int)seen.pid, (int)child);
	check(seen.uid == 4321 && seen.gid == 1234, "of user %d, group %d", (int)seen.uid, (int)seen.gid);
	test_join(child);
	return pass();
}
