/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Pipes between a parent and two children: who holds which end, bytes in flight, and end of file at the last close. */
#include "zdtm.h"

static int request[2], reply[2];
static struct barrier *ready;

static int worker(void *argument)
{
	char text[16];
	ssize_t length;

	(void)argument;
	close(request[1]);
	close(reply[0]);
	barrier_post(ready);
	test_waitsig();
	length = read(request[0], text, sizeof(text));
	check(length == 5 && !memcmp(text, "early", 5), "the worker read %zd bytes", length);
	check(write(reply[1], "late", 4) == 4, "write");
	return 0;
}

static int holder(void *argument)
{
	(void)argument;
	close(request[0]);
	close(request[1]);
	close(reply[0]);
	barrier_post(ready);
	test_waitsig();
	return write(reply[1], "last", 4) == 4 ? 0 : 1;
}

int main(int argc, char **argv)
{
	char text[16];
	pid_t first, second;

	test_init(argc, argv);
	ready = barrier_new();
	check(pipe(request) == 0 && pipe(reply) == 0, "pipe");
	check(write(request[1], "early", 5) == 5, "write");
	first = test_fork(worker, NULL);
	second = test_fork(holder, NULL);
	barrier_wait(ready, 2);
	close(request[0]);
	close(reply[1]);

	test_daemon();
	test_waitsig();

	test_join(first);
	check(read(reply[0], text, sizeof(text)) == 4 && !memcmp(text, "late", 4), "the worker's reply");
	signal(SIGPIPE, SIG_IGN);
	check(write(request[1], "x", 1) == -1 && errno == EPIPE, "somebody else reads the requests");
	errno = 0;
	test_join(second);
	check(read(reply[0], text, sizeof(text)) == 4 && !memcmp(text, "last", 4), "the holder's reply");
	check(read(reply[0], text, sizeof(text)) == 0, "no end of file: somebody else holds the write end");
	return pass();
}
