/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A named pipe with a reader and no writer (fifo(7)): end of file, until somebody opens it for writing. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	char text[16];
	int reader, writer;

	test_init(argc, argv);
	check(mkfifo(test_filename, 0600) == 0, "mkfifo %s", test_filename);
	reader = open(test_filename, O_RDONLY | O_NONBLOCK);
	check(reader >= 0 && fcntl(reader, F_SETFL, 0) == 0, "open %s", test_filename);

	test_daemon();
	test_waitsig();

	check((fcntl(reader, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == O_RDONLY, "flags");
	check(read(reader, text, sizeof(text)) == 0, "no end of file: there is a writer");
	writer = open(test_filename, O_WRONLY | O_NONBLOCK);
	check(writer >= 0 && write(writer, "text", 4) == 4, "the reader is not found by name");
	check(read(reader, text, sizeof(text)) == 4 && !memcmp(text, "text", 4), "contents");
	return pass();
}
