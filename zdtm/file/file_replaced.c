/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A deleted open file at whose path another file now stands: each keeps its own contents. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	struct stat before, after;
	char text[32];
	int old;

	test_init(argc, argv);
	old = open(test_filename, O_RDWR | O_CREAT, 0600);
	check(old >= 0 && write(old, "the old one", 11) == 11, "create %s", test_filename);
	check(unlink(test_filename) == 0 && write_text(test_filename, "the new one is longer") == 0, "replace it");
	check(stat(test_filename, &before) == 0, "stat");

	test_daemon();
	test_waitsig();

	check(fstat(old, &after) == 0 && after.st_nlink == 0, "the old file has a name");
	check(after.st_ino != before.st_ino, "the old file has become the new one");
	check(pread(old, text, sizeof(text), 0) == 11 && !memcmp(text, "the old one", 11), "the old file's contents");
	check(lseek(old, 0, SEEK_CUR) == 11, "the old file's offset");
	check(stat(test_filename, &after) == 0 && after.st_ino == before.st_ino, "the new file has been touched");
	check(read_text(test_filename, text, sizeof(text)) == 21 && !strcmp(text, "the new one is longer"),
	      "new contents");
	return pass();
}
