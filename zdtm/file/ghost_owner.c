/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A deleted file and a deleted directory that belong to somebody else keep their owners (chown(2)). */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/stat.h>

#define UID 18943
#define GID 58467

static void check_owner(int fd, mode_t mode)
{
	struct stat status;

	check(fstat(fd, &status) == 0 && status.st_nlink == 0, "fd %d has a name", fd);
	check(status.st_uid == UID && status.st_gid == GID, "fd %d belongs to %u:%u", fd, status.st_uid, status.st_gid);
	check((status.st_mode & 07777) == mode, "mode of fd %d is %#o", fd, status.st_mode);
}

int main(int argc, char **argv)
{
	int file, directory;

	test_init(argc, argv);
	file = open(test_filename, O_RDWR | O_CREAT, 0600);
	check(file >= 0 && mkdir(test_dirname, 0700) == 0, "create");
	directory = open(test_dirname, O_RDONLY);
	check(fchown(file, UID, GID) == 0 && fchown(directory, UID, GID) == 0, "chown");
	/* After chown, which clears the set-id bits. */
	check(fchmod(file, 06711) == 0 && fchmod(directory, 01775) == 0, "chmod");
	check(unlink(test_filename) == 0 && rmdir(test_dirname) == 0, "unlink");

	test_daemon();
	test_waitsig();

	check_owner(file, 06711);
	check_owner(directory, 01775);
	return pass();
}
