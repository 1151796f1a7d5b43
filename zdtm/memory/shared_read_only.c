/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What mprotect(2) may grant depends on how the file was opened: reading only, or reading and writing. */
#include "zdtm.h"

#include <fcntl.h>

static char *map(int flags)
{
	char *area;
	int fd;

	fd = open(test_filename, flags);
	check(fd >= 0, "open %s", test_filename);
	area = mmap(NULL, page_size(), PROT_READ, MAP_SHARED, fd, 0);
	check(area != MAP_FAILED && close(fd) == 0, "mmap");
	return area;
}

int main(int argc, char **argv)
{
	char *read_only, *writable;

	test_init(argc, argv);
	check(write_text(test_filename, "content") == 0, "create %s", test_filename);
	read_only = map(O_RDONLY);
	writable = map(O_RDWR);
	check(!memcmp(read_only, "content", 7), "content");
	test_daemon();
	test_waitsig();
	check(mprotect(read_only, page_size(), PROT_READ | PROT_WRITE) == -1 && errno == EACCES,
	      "the right to write was gained");
	check(mprotect(writable, page_size(), PROT_READ | PROT_WRITE) == 0, "the right to write was lost");
	memcpy(writable, "changed", 7);
	check(!memcmp(read_only, "changed", 7), "the mappings are not of one file");
	return pass();
}
