/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A description with O_APPEND writes at the end of the file, wherever its offset is and whoever made it grow. */
#include "zdtm.h"

#include <fcntl.h>

int main(int argc, char **argv)
{
	char text[64] = "";
	int append, other;

	test_init(argc, argv);
	append = open(test_filename, O_WRONLY | O_CREAT | O_APPEND, 0600);
	other = open(test_filename, O_RDWR);
	check(append >= 0 && other >= 0, "open %s", test_filename);
	check(write(append, "one.", 4) == 4, "write");
	check(lseek(append, 1, SEEK_SET) == 1, "lseek");

	test_daemon();
	test_waitsig();

	check(lseek(append, 0, SEEK_CUR) == 1, "the offset is not 1");
	check(pwrite(other, "two.", 4, 4) == 4, "write by the other description");
	check(write(append, "three.", 6) == 6, "append");
	check(lseek(append, 0, SEEK_CUR) == 14, "appending did not move the offset to the end");
	check(pread(other, text, sizeof(text) - 1, 0) == 14, "read");
	check(!strcmp(text, "one.two.three."), "the file holds '%s'", text);
	return pass();
}
