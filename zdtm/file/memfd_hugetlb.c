/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A memfd of huge pages (MFD_HUGETLB): size, position, seals, holes, a shared and a private mapping. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { PAGES = 3 };

int main(int argc, char **argv)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW;
	char *shared, *private, start[64], link[64], name[64] = "";
	struct stat status;
	size_t size;
	int fd;

	test_init(argc, argv);
	size = huge_pages(PAGES + 1);
	fd = memfd_create("huge", MFD_HUGETLB | MFD_ALLOW_SEALING | MFD_CLOEXEC);
	check(fd >= 0 && ftruncate(fd, PAGES * size) == 0, "memfd_create");
	shared = mmap(huge_place(size, 1), size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, size);
	check(shared != MAP_FAILED, "mmap of the second page");
	private = mmap(huge_place(size, 1), size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, size);
	check(private != MAP_FAILED, "private mmap of the second page");
	pattern_fill(shared, size, 1);
	pattern_fill(private, size, 2);
	check(fcntl(fd, F_ADD_SEALS, seals) == 0, "F_ADD_SEALS");
	check(lseek(fd, size + 100, SEEK_SET) == (off_t)size + 100, "lseek");

	test_daemon();
	test_waitsig();

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	check(readlink(link, name, sizeof(name) - 1) > 0 && !strcmp(name, "/memfd:huge (deleted)"), "it is %s", name);
	check(fstat(fd, &status) == 0 && (size_t)status.st_blksize == size, "pages of %ld bytes",
	      (long)status.st_blksize);
	check((size_t)status.st_size == PAGES * size, "it has %lld bytes", (long long)status.st_size);
	check((size_t)status.st_blocks * 512 == size, "it takes %lld blocks", (long long)status.st_blocks);
	check(fcntl(fd, F_GET_SEALS) == seals && fcntl(fd, F_GETFD) == FD_CLOEXEC, "seals or FD_CLOEXEC");
	check(pattern_holds(shared, size, 1) && pattern_holds(private, size, 2), "a page has changed");
	check(read(fd, start, sizeof(start)) == sizeof(start), "read");
	check(!memcmp(start, shared + 100, sizeof(start)), "another position");
	memcpy(shared, "changed", 7);
	check(pread(fd, start, 7, size) == 7 && !memcmp(start, "changed", 7), "the mapping is of another file");
	check(memcmp(private, "changed", 7), "the private mapping has become shared");
	return pass();
}
