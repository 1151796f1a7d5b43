/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The rest of the last page is zero, pages behind it give SIGBUS until the file grows. */
#include "zdtm.h"

#include <fcntl.h>

int main(int argc, char **argv)
{
	char *maps[2], content[100];
	size_t page;
	int fd;

	test_init(argc, argv);
	page = page_size();
	pattern_fill(content, sizeof(content), 1);
	fd = open(test_filename, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0 && pwrite(fd, content, sizeof(content), page) == sizeof(content), "create %s", test_filename);
	for (int i = 0; i < 2; i++) {
		maps[i] = mmap(NULL, 4 * page, PROT_READ, i ? MAP_PRIVATE : MAP_SHARED, fd, 0);
		check(maps[i] != MAP_FAILED, "mmap");
	}
	test_daemon();
	test_waitsig();
	for (int i = 0; i < 2; i++) {
		check(pattern_holds(maps[i] + page, sizeof(content), 1), "the content of map %d has changed", i);
		check(all_zero(maps[i] + page + sizeof(content), page - sizeof(content)), "the rest of map %d", i);
		check(read_faults(maps[i] + 2 * page) && read_faults(maps[i] + 3 * page), "map %d does not fault", i);
	}
	check(pwrite(fd, content, sizeof(content), 3 * page) == sizeof(content), "pwrite");
	for (int i = 0; i < 2; i++)
		check(!read_faults(maps[i] + 2 * page) && pattern_holds(maps[i] + 3 * page, sizeof(content), 1),
		      "map %d does not see the file grow", i);
	return pass();
}
