/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A named pipe whose name is gone: both ends, unread bytes, and no name afterwards. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	struct stat status;
	char text[16];
	int reader, writer;

	test_init(argc, argv);
	check(mkfifo(test_filename, 0620) == 0 && chmod(test_filename, 0620) == 0, "mkfifo %s", test_filename);
	reader = open(test_filename, O_RDONLY | O_NONBLOCK);
	writer = open(test_filename, O_WRONLY);
	check(reader >= 0 && writer >= 0 && unlink(test_filename) == 0, "open and unlink %s", test_filename);
	check(write(writer, "unread", 6) == 6, "write");

	test_daemon();
	test_waitsig();

	check(fstat(reader, &status) == 0 && status.st_nlink == 0, "the pipe has a name");
	check(status.st_mode == (S_IFIFO | 0620), "mode is %#o", status.st_mode);
	check(access(test_filename, F_OK) == -1 && errno == ENOENT, "%s has come back", test_filename);
	errno = 0;
	check(read(reader, text, sizeof(text)) == 6 && !memcmp(text, "unread", 6), "contents");
	check(write(writer, "more", 4) == 4 && read(reader, text, sizeof(text)) == 4, "the pipe works no more");
	check(close(writer) == 0 && read(reader, text, 1) == 0, "no end of file");
	return pass();
}
