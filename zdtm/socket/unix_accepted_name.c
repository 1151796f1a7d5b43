/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A server with a path: the accepted socket has the server's name, the client sees it, more clients come (unix(7)). */
#include "zdtm.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX }, name;
	socklen_t len = sizeof(name);
	struct stat stat_before, stat_after;
	int server, client, accepted, other;
	char got[10];

	test_init(argc, argv);
	check(strlen(test_filename) < sizeof(address.sun_path), "the path is too long");
	strcpy(address.sun_path, test_filename);
	server = socket(AF_UNIX, SOCK_STREAM, 0);
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	check(bind(server, (void *)&address, sizeof(address)) == 0 && listen(server, 3) == 0, "listen");
	check(chmod(test_filename, 0641) == 0 && stat(test_filename, &stat_before) == 0, "chmod");
	check(connect(client, (void *)&address, sizeof(address)) == 0, "connect");
	accepted = accept(server, NULL, NULL);
	check(accepted >= 0 && write(client, "hello", 5) == 5, "accept");

	test_daemon();
	test_waitsig();

	check(getsockname(accepted, (void *)&name, &len) == 0, "getsockname");
	check(!strcmp(name.sun_path, test_filename), "the accepted socket is called %s", name.sun_path);
	len = sizeof(name);
	check(getpeername(client, (void *)&name, &len) == 0, "getpeername");
	check(!strcmp(name.sun_path, test_filename), "the client's peer is called %s", name.sun_path);
	len = sizeof(name);
	check(getsockname(client, (void *)&name, &len) == 0 && len == sizeof(sa_family_t), "the client has a name");
	check(recv(accepted, got, sizeof(got), MSG_DONTWAIT) == 5 && !memcmp(got, "hello", 5), "recv");
	check(stat(test_filename, &stat_after) == 0 && stat_after.st_mode == stat_before.st_mode, "the mode differs");
	other = socket(AF_UNIX, SOCK_STREAM, 0);
	check(connect(other, (void *)&address, sizeof(address)) == 0, "nobody listens");
	check((accepted = accept(server, NULL, NULL)) >= 0 && write(other, "x", 1) == 1, "accept");
	check(read(accepted, got, 10) == 1, "read");
	check(unlink(test_filename) == 0, "unlink");
	return pass();
}
