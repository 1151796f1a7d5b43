/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A memfd (memfd_create(2)): name, contents, holes, offset, flags, sharing by dup, fork and a second description. */
#include "zdtm.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#define SIZE 20000
#define OFFSET 4321

static int child(void *argument)
{
	test_waitsig();
	return pwrite(*(int *)argument, "child", 5, 0) == 5 ? 0 : 1;
}

int main(int argc, char **argv)
{
	uint8_t memory[SIZE];
	char path[64], target[PATH_MAX] = "";
	struct stat status, other;
	int fd, reopened;
	pid_t pid;

	test_init(argc, argv);
	fd = memfd_create("a name of its own", MFD_CLOEXEC);
	check(fd >= 0, "memfd_create");
	pattern_fill(memory, SIZE, 10);
	check(write(fd, memory, SIZE) == SIZE && lseek(fd, OFFSET, SEEK_SET) == OFFSET, "write");
	check(ftruncate(fd, 50 * SIZE) == 0 && fchmod(fd, 0641) == 0, "ftruncate");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reopened = open(path, O_RDONLY);
	check(reopened >= 0, "open %s", path);
	pid = test_fork(child, &fd);

	test_daemon();
	test_waitsig();

	check(readlink(path, target, sizeof(target)) > 0, "readlink %s", path);
	check(!strncmp(target, "/memfd:a name of its own", 24), "fd %d is %s", fd, target);
	check(fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(reopened, F_GETFD) == 0, "FD_CLOEXEC");
	check((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR && (fcntl(reopened, F_GETFL) & O_ACCMODE) == O_RDONLY,
	      "flags");
	check(fstat(fd, &status) == 0 && fstat(reopened, &other) == 0 && status.st_ino == other.st_ino, "two inodes");
	check(status.st_size == 50 * SIZE && (status.st_mode & 0777) == 0641, "size or mode");
	check(lseek(fd, 0, SEEK_CUR) == OFFSET && lseek(reopened, 0, SEEK_CUR) == 0, "offsets");
	check(pread(fd, memory, SIZE, 0) == SIZE && pattern_holds(memory, SIZE, 10), "contents");
	check(pread(fd, memory, SIZE, 40 * SIZE) == SIZE && all_zero(memory, SIZE), "the hole");
	test_join(pid);
	check(read(reopened, memory, 5) == 5 && !memcmp(memory, "child", 5), "the child has another memfd");
	return pass();
}
