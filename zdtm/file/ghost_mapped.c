/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A deleted file mapped shared and private, its descriptor closed: the mappings still show one file (mmap(2)). */
#include "zdtm.h"

#include <fcntl.h>

int main(int argc, char **argv)
{
	size_t page = page_size();
	uint8_t *shared, *private, *again;
	struct vma vma;
	int fd;

	test_init(argc, argv);
	fd = open(test_filename, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0 && ftruncate(fd, 4 * page) == 0, "open %s", test_filename);
	shared = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, page);
	check(shared != MAP_FAILED && private != MAP_FAILED, "mmap");
	pattern_fill(shared, 4 * page, 8);
	pattern_fill(private, page, 9);
	check(unlink(test_filename) == 0 && close(fd) == 0, "unlink");

	test_daemon();
	test_waitsig();

	check(pattern_holds(shared, 4 * page, 8), "the shared mapping");
	check(pattern_holds(private, page, 9), "the page written through the private mapping");
	check(!memcmp(private + page, shared + 2 * page, page), "the page not written through it");
	check(find_vma(shared, &vma) && !strcmp(vma.perms, "rw-s") && strstr(vma.name, " (deleted)"), "mapped is %s %s",
	      vma.perms, vma.name);
	check(find_vma(private, &vma) && !strcmp(vma.perms, "rw-p") && vma.offset == page, "offset of the private one");
	/* A page that nobody has written privately follows the file. */
	shared[3 * page] = 'f';
	shared[2 * page] = 's';
	check(private[page] == 's', "the private mapping is of another file");
	again = mremap(shared, 0, 4 * page, MREMAP_MAYMOVE);
	check(again != MAP_FAILED && again[3 * page] == 'f', "a second mapping is of another file");
	return pass();
}
