/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A named pipe (fifo(7)) with a reader, a writer and unread bytes; its name still leads to it. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	char text[32];
	int reader, writer, another;

	test_init(argc, argv);
	check(mkfifo(test_filename, 0640) == 0, "mkfifo %s", test_filename);
	reader = open(test_filename, O_RDONLY | O_NONBLOCK);
	writer = open(test_filename, O_WRONLY);
	check(reader >= 0 && writer >= 0, "open %s", test_filename);
	check(fcntl(writer, F_SETPIPE_SZ, 8 * 4096) >= 8 * 4096, "F_SETPIPE_SZ");
	check(write(writer, "unread bytes", 12) == 12 && read(reader, text, 2) == 2, "write and read");

	test_daemon();
	test_waitsig();

	check(fcntl(reader, F_GETPIPE_SZ) == 8 * 4096, "size is %d", fcntl(reader, F_GETPIPE_SZ));
	check(fcntl(reader, F_GETFL) & O_NONBLOCK && !(fcntl(writer, F_GETFL) & O_NONBLOCK), "flags");
	another = open(test_filename, O_WRONLY | O_NONBLOCK);
	check(another >= 0 && write(another, " and more", 9) == 9, "open by name");
	check(read(reader, text, sizeof(text)) == 19 && !memcmp(text, "read bytes and more", 19), "contents");
	check(read(reader, text, 1) == -1 && errno == EAGAIN, "more bytes than were written");
	check(close(another) == 0 && close(writer) == 0 && read(reader, text, 1) == 0, "no end of file");
	return pass();
}
