/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* An offset beyond 4 GiB in a sparse file, and one beyond the end of the file (lseek(2)). */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

#define FAR (5LL * 1024 * 1024 * 1024 + 12345)

int main(int argc, char **argv)
{
	struct stat status;
	char text[8];
	int inside, beyond;

	test_init(argc, argv);
	inside = open(test_filename, O_RDWR | O_CREAT | O_LARGEFILE, 0600);
	beyond = open(test_filename, O_RDWR | O_LARGEFILE);
	check(inside >= 0 && beyond >= 0, "open %s", test_filename);
	check(pwrite64(inside, "before after", 12, FAR - 6) == 12, "write");
	check(lseek64(inside, FAR, SEEK_SET) == FAR && lseek64(beyond, 2 * FAR, SEEK_SET) == 2 * FAR, "lseek");

	test_daemon();
	test_waitsig();

	check(lseek64(inside, 0, SEEK_CUR) == FAR, "offset is %jd", (intmax_t)lseek64(inside, 0, SEEK_CUR));
	check(lseek64(beyond, 0, SEEK_CUR) == 2 * FAR, "offset is %jd", (intmax_t)lseek64(beyond, 0, SEEK_CUR));
	check(fstat(inside, &status) == 0 && status.st_size == FAR + 6, "size is %jd", (intmax_t)status.st_size);
	check(read(inside, text, sizeof(text)) == 6 && !memcmp(text, " after", 6), "contents");
	check(read(beyond, text, sizeof(text)) == 0, "no end of file");
	check(write(beyond, "x", 1) == 1 && lseek64(inside, 0, SEEK_END) == 2 * FAR + 1, "write beyond the end");
	return pass();
}
