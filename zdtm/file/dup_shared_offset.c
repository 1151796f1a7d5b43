/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Descriptors made with dup(2) share one description: offset and status flags; a second open(2) does not. */
#include "zdtm.h"

#include <fcntl.h>

int main(int argc, char **argv)
{
	int first, second, far, apart;

	test_init(argc, argv);
	check(write_text(test_filename, "0123456789") == 0, "write %s", test_filename);
	first = open(test_filename, O_RDWR);
	second = dup(first);
	far = dup2(first, 57);
	apart = open(test_filename, O_RDWR);
	check(first >= 0 && second >= 0 && far == 57 && apart >= 0, "open and dup");
	check(lseek(first, 3, SEEK_SET) == 3, "lseek");

	test_daemon();
	test_waitsig();

	check(lseek(second, 0, SEEK_CUR) == 3 && lseek(far, 0, SEEK_CUR) == 3, "the offset is lost");
	check(lseek(apart, 0, SEEK_CUR) == 0, "the other description has moved");
	check(lseek(far, 7, SEEK_SET) == 7, "lseek");
	check(lseek(first, 0, SEEK_CUR) == 7 && lseek(second, 0, SEEK_CUR) == 7, "the offset is no longer shared");
	check(lseek(apart, 0, SEEK_CUR) == 0, "the other description moved along");
	check(fcntl(second, F_SETFL, O_NONBLOCK) == 0, "F_SETFL");
	check(fcntl(first, F_GETFL) & fcntl(far, F_GETFL) & O_NONBLOCK, "the status flags are no longer shared");
	check(!(fcntl(apart, F_GETFL) & O_NONBLOCK), "the other description got the flag");
	return pass();
}
