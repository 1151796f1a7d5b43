/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Paths that fill sun_path, whose zero byte stands behind it (unix(7)): a server, and the sender of a datagram. */
#include "zdtm.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static struct sockaddr_un full(char last)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memset(address.sun_path, 'n', sizeof(address.sun_path));
	address.sun_path[sizeof(address.sun_path) - 1] = last;
	return address;
}

static void expect(const void *got, socklen_t len, const struct sockaddr_un *address, const char *what)
{
	check(len == sizeof(*address) + 1 && !memcmp(got, address, sizeof(*address)), "%s, %d bytes", what, (int)len);
}

static void discard(const struct sockaddr_un *address)
{
	char path[sizeof(address->sun_path) + 1] = { 0 };

	memcpy(path, address->sun_path, sizeof(address->sun_path));
	check(unlink(path) == 0, "unlink");
}

int main(int argc, char **argv)
{
	struct sockaddr_un server_name = full('s'), sender_name = full('d'), receiver_name = full('r');
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	int server, client, sender, receiver;
	char got[10];

	test_init(argc, argv);
	check(mkdir(test_dirname, 0700) == 0 && chdir(test_dirname) == 0, "mkdir");
	server = socket(AF_UNIX, SOCK_STREAM, 0);
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	sender = socket(AF_UNIX, SOCK_DGRAM, 0);
	receiver = socket(AF_UNIX, SOCK_DGRAM, 0);
	check(bind(server, (void *)&server_name, sizeof(server_name)) == 0 && listen(server, 3) == 0, "bind");
	check(connect(client, (void *)&server_name, sizeof(server_name)) == 0, "connect");
	check(bind(sender, (void *)&sender_name, sizeof(sender_name)) == 0, "bind");
	check(bind(receiver, (void *)&receiver_name, sizeof(receiver_name)) == 0, "bind");
	check(sendto(sender, "one", 3, 0, (void *)&receiver_name, sizeof(receiver_name)) == 3, "sendto");

	test_daemon();
	test_waitsig();

	check(getsockname(server, (void *)&name, &len) == 0, "getsockname");
	expect(&name, len, &server_name, "the server");
	len = sizeof(name);
	check(getpeername(client, (void *)&name, &len) == 0, "getpeername");
	expect(&name, len, &server_name, "the client's peer");
	len = sizeof(name);
	check(recvfrom(receiver, got, sizeof(got), MSG_DONTWAIT, (void *)&name, &len) == 3, "recvfrom");
	expect(&name, len, &sender_name, "the sender");
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	check(connect(client, (void *)&server_name, sizeof(server_name)) == 0, "nobody listens");
	check(accept(server, NULL, NULL) >= 0 && accept(server, NULL, NULL) >= 0, "accept");
	discard(&server_name);
	discard(&sender_name);
	discard(&receiver_name);
	check(rmdir(test_dirname) == 0, "something else is in the directory");
	return pass();
}
