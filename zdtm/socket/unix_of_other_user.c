/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A process of another user: a connection to a deleted name, a listening socket that only its owner may connect to. */
#include "zdtm.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { USER = 18943, GROUP = 58467 };

static struct sockaddr_un address = { .sun_family = AF_UNIX };

static int listening(const char *name)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	check(fd >= 0 && strlen(test_dirname) + strlen(name) < sizeof(address.sun_path), "socket");
	strcat(strcpy(address.sun_path, test_dirname), name);
	check(bind(fd, (void *)&address, sizeof(address)) == 0 && chmod(address.sun_path, 0600) == 0, "bind");
	check(listen(fd, 2) == 0, "listen");
	return fd;
}

static int connected(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	check(fd >= 0 && connect(fd, (void *)&address, sizeof(address)) == 0, "connect");
	return fd;
}

int main(int argc, char **argv)
{
	int gone, waited, client, accepted, pending;
	socklen_t len = sizeof(struct ucred);
	struct ucred peer;
	char got[8];

	test_init(argc, argv);
	check(mkdir(test_dirname, 0700) == 0 && chown(test_dirname, USER, GROUP) == 0, "mkdir");
	check(setgroups(0, NULL) == 0 && setresgid(GROUP, GROUP, GROUP) == 0 && setresuid(USER, USER, USER) == 0, "setresuid");
	gone = listening("/gone");
	client = connected();
	accepted = accept(gone, NULL, NULL);
	check(accepted >= 0 && write(client, "hello", 5) == 5, "accept");
	check(unlink(address.sun_path) == 0, "unlink");
	waited = listening("/waited");
	pending = connected();

	test_daemon();
	test_waitsig();

	check(read(accepted, got, sizeof(got)) == 5 && !memcmp(got, "hello", 5), "read");
	check(getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0, "SO_PEERCRED");
	check(peer.uid == USER && peer.gid == GROUP && peer.pid == getpid(), "the peer is %d of %d", peer.pid, peer.uid);
	check((accepted = accept(waited, NULL, NULL)) >= 0 && write(accepted, "x", 1) == 1, "accept");
	check(read(pending, got, sizeof(got)) == 1, "it was another that waited");
	check(unlink(address.sun_path) == 0, "unlink");
	return pass();
}
