/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A server that was bound to a name of its own, linked to the one that clients know, and has lost the first (link(2)). */
#include "zdtm.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

int main(int argc, char **argv)
{
	struct sockaddr_un first = { .sun_family = AF_UNIX }, known = first, name;
	socklen_t len = sizeof(name);
	int server, client;
	struct stat found;

	test_init(argc, argv);
	check(snprintf(first.sun_path, sizeof(first.sun_path), "%s/first", test_dirname) < 100, "path");
	check(snprintf(known.sun_path, sizeof(known.sun_path), "%s/known", test_dirname) < 100, "path");
	check(mkdir(test_dirname, 0700) == 0, "mkdir");
	server = socket(AF_UNIX, SOCK_STREAM, 0);
	check(bind(server, (void *)&first, sizeof(first)) == 0 && listen(server, 3) == 0, "listen");
	check(link(first.sun_path, known.sun_path) == 0 && unlink(first.sun_path) == 0, "link");

	test_daemon();
	test_waitsig();

	check(getsockname(server, (void *)&name, &len) == 0, "getsockname");
	check(!strcmp(name.sun_path, first.sun_path), "it is called %s", name.sun_path);
	check(access(first.sun_path, F_OK) == -1 && errno == ENOENT, "the first name is there again");
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	check(connect(client, (void *)&known, sizeof(known)) == 0 && accept(server, NULL, NULL) >= 0, "connect");
	check(stat(known.sun_path, &found) == 0 && found.st_nlink == 1, "it has %d links", (int)found.st_nlink);
	check(unlink(known.sun_path) == 0 && rmdir(test_dirname) == 0, "something else is in the directory");
	return pass();
}
