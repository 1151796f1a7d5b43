/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A server bound by a relative path in a directory that the program has left, and one whose file was deleted. */
#include "zdtm.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static void expect_name(int fd, const char *expected)
{
	struct sockaddr_un name;
	socklen_t len = sizeof(name);

	memset(&name, 0, sizeof(name));
	check(getsockname(fd, (void *)&name, &len) == 0, "getsockname");
	check(!strcmp(name.sun_path, expected), "it is called %s instead of %s", name.sun_path, expected);
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX }, deleted = { .sun_family = AF_UNIX }, full = address;
	int server, gone, client;

	test_init(argc, argv);
	strcpy(address.sun_path, "server");
	check(snprintf(deleted.sun_path, sizeof(deleted.sun_path), "%s/deleted", test_dirname) < 100, "path");
	check(snprintf(full.sun_path, sizeof(full.sun_path), "%s/server", test_dirname) < 100, "path");
	check(mkdir(test_dirname, 0700) == 0 && chdir(test_dirname) == 0, "mkdir");
	server = socket(AF_UNIX, SOCK_STREAM, 0);
	gone = socket(AF_UNIX, SOCK_DGRAM, 0);
	check(bind(server, (void *)&address, sizeof(address)) == 0 && listen(server, 1) == 0, "bind");
	check(bind(gone, (void *)&deleted, sizeof(deleted)) == 0 && unlink(deleted.sun_path) == 0, "bind");
	client = socket(AF_UNIX, SOCK_DGRAM, 0);
	check(chdir("/") == 0, "chdir");

	test_daemon();
	test_waitsig();

	expect_name(server, "server");
	expect_name(gone, deleted.sun_path);
	check(access(deleted.sun_path, F_OK) == -1 && errno == ENOENT, "the deleted file is there again");
	check(connect(client, (void *)&deleted, sizeof(deleted)) == -1 && errno == ENOENT, "connect");
	check(close(client) == 0 && (client = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0, "socket");
	check(connect(client, (void *)&full, sizeof(full)) == 0 && accept(server, NULL, NULL) >= 0, "connect");
	check(unlink(full.sun_path) == 0 && rmdir(test_dirname) == 0, "something else is in the directory");
	return pass();
}
