/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A named pipe with a writer and no reader (fifo(7)): EPIPE, until somebody opens it for reading. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	char text[16];
	int reader, writer;

	test_init(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	check(mkfifo(test_filename, 0600) == 0, "mkfifo %s", test_filename);
	reader = open(test_filename, O_RDONLY | O_NONBLOCK);
	writer = open(test_filename, O_WRONLY);
	check(reader >= 0 && writer >= 0 && close(reader) == 0, "open %s", test_filename);

	test_daemon();
	test_waitsig();

	check((fcntl(writer, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == O_WRONLY, "flags");
	check(write(writer, "x", 1) == -1 && errno == EPIPE, "there is a reader");
	errno = 0;
	reader = open(test_filename, O_RDONLY | O_NONBLOCK);
	check(reader >= 0 && write(writer, "text", 4) == 4, "write");
	check(read(reader, text, sizeof(text)) == 4 && !memcmp(text, "text", 4), "contents");
	return pass();
}
