/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Connections under --tcp-close: both ends find the end of file, and the server goes on to listen. */
#include "zdtm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(name);
	int listener, client, server;
	char text[8];

	test_init(argc, argv);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	client = socket(AF_INET, SOCK_STREAM, 0);
	check(bind(listener, (void *)&name, len) == 0 && getsockname(listener, (void *)&name, &len) == 0, "bind");
	check(listen(listener, 5) == 0 && connect(client, (void *)&name, len) == 0, "connect");
	server = accept(listener, NULL, NULL);
	check(server >= 0 && send(client, "hello", 5, 0) == 5, "send");

	test_daemon();
	test_waitsig();

	check(recv(client, text, sizeof(text), MSG_DONTWAIT) == 0, "the client has a connection");
	check(recv(server, text, sizeof(text), MSG_DONTWAIT) == 0, "the server has a connection");
	check(send(server, "hello", 5, MSG_NOSIGNAL) < 0 && errno == EPIPE, "the server can send");
	client = socket(AF_INET, SOCK_STREAM, 0);
	check(connect(client, (void *)&name, len) == 0 && accept(listener, NULL, NULL) >= 0, "nobody listens");
	return pass();
}
