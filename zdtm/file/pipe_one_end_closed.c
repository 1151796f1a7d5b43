/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Half-closed pipes: unread bytes and then end of file without a writer, EPIPE without a reader (pipe(7)). */
#include "zdtm.h"

int main(int argc, char **argv)
{
	char text[16];
	int unwritten[2], empty[2], unread[2];

	test_init(argc, argv);
	check(pipe(unwritten) == 0 && pipe(empty) == 0 && pipe(unread) == 0, "pipe");
	check(write(unwritten[1], "left over", 9) == 9 && write(unread[1], "nobody", 6) == 6, "write");
	close(unwritten[1]);
	close(empty[1]);
	close(unread[0]);
	signal(SIGPIPE, SIG_IGN);

	test_daemon();
	test_waitsig();

	check(read(unwritten[0], text, sizeof(text)) == 9 && !memcmp(text, "left over", 9), "unread bytes");
	check(read(unwritten[0], text, sizeof(text)) == 0, "no end of file after the bytes");
	check(read(empty[0], text, sizeof(text)) == 0, "no end of file in the empty pipe");
	check(write(unread[1], "x", 1) == -1 && errno == EPIPE, "a pipe without reader takes a byte");
	return pass();
}
