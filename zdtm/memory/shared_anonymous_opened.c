/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Shared memory without a name, opened by /proc/PID/map_files: descriptors, shared and private mappings are of one object. */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

static struct barrier *ready;
static size_t page;
static char *shared;

static int open_mapping(const char *start, size_t len)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (long)start, (long)start + len);
	fd = open(path, O_RDWR);
	check(fd >= 0, "open %s", path);
	return fd;
}

static char *map(size_t pages, int flags, int fd, size_t from)
{
	char *memory = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, flags, fd, from * page);

	check(memory != MAP_FAILED, "mmap");
	return memory;
}

static int child(void *unused)
{
	(void)unused;
	barrier_post(ready);
	test_waitsig();
	memcpy(shared + 3 * page, "child", 5);
	return 0;
}

int main(int argc, char **argv)
{
	char *private, *again, *gone, got[6] = "";
	int fd, alone;
	struct stat stat;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	page = page_size();
	/* Neighbours would become one mapping. */
	shared = map(5, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pattern_fill(shared, 3 * page, 1);
	fd = open_mapping(shared, 5 * page);
	private = map(4, MAP_PRIVATE, fd, 1);
	again = map(5, MAP_SHARED, fd, 0);
	pattern_fill(private, page, 2);
	gone = map(2, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memcpy(gone + page, "alone", 5);
	alone = open_mapping(gone, 2 * page);
	check(munmap(gone, 2 * page) == 0 && lseek(alone, page, SEEK_SET) == (off_t)page, "munmap");
	pid = test_fork(child, NULL);
	barrier_wait(ready, 1);

	test_daemon();
	test_waitsig();

	test_join(pid);
	check(pattern_holds(shared, 3 * page, 1) && !memcmp(again, shared, 5 * page), "the shared pages");
	check(pattern_holds(private, page, 2), "the private page");
	check(!memcmp(private + page, shared + 2 * page, page), "a page that is not private yet");
	check(!memcmp(private + 2 * page, "child", 5), "the private mapping is of other memory");
	check(pread(fd, got, 5, 3 * page) == 5 && !memcmp(got, "child", 5), "the descriptor is of other memory: %s", got);
	check(read(alone, got, 5) == 5 && !memcmp(got, "alone", 5), "what only a descriptor has: %s", got);
	check(fstat(alone, &stat) == 0 && stat.st_size == 2 * (off_t)page, "the size is %ld", (long)stat.st_size);
	return pass();
}
