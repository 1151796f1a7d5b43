/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Extended attributes of a deleted file, a deleted directory's default ACL, and no ACL where there was none: xattr(7), acl(5). */
#include "zdtm.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"
#define CAPABILITY "security.capability"

/* linux/posix_acl_xattr.h: version 2, then entries of tag, permissions, id. Little-endian, as on disk. */
static const uint8_t acl[] = {
	2, 0, 0, 0,
	0x01, 0, 6, 0, 255, 255, 255, 255, /* the owner: rw- */
	0x02, 0, 5, 0, 0xe9, 3, 0, 0, /* user 1001: r-x */
	0x04, 0, 4, 0, 255, 255, 255, 255, /* the group: r-- */
	0x10, 0, 7, 0, 255, 255, 255, 255, /* the mask: rwx */
	0x20, 0, 0, 0, 255, 255, 255, 255, /* others: --- */
};
/* linux/capability.h, struct vfs_cap_data of version 2: CAP_NET_RAW is permitted and effective. */
static const uint8_t capability[] = { 1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };

static int make(const char *name)
{
	char path[PATH_MAX];

	check(snprintf(path, sizeof(path), "%s/%s", test_dirname, name) < (int)sizeof(path), "a long path");
	return open(path, O_RDWR | O_CREAT | O_EXCL, 0640);
}

static bool has(int fd, const char *name, const void *value, size_t size)
{
	uint8_t found[256];
	ssize_t got = fgetxattr(fd, name, found, sizeof(found));

	if (got < 0 || (size_t)got != size || memcmp(found, value, size)) {
		test_msg("%s has %zd bytes, expected %zu", name, got, size);
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	int dir, fd, plain;
	char path[PATH_MAX];
	struct stat status;

	test_init(argc, argv);
	check(mkdir(test_dirname, 0700) == 0, "mkdir");
	dir = open(test_dirname, O_RDONLY | O_DIRECTORY);
	fd = make("file");
	plain = make("plain");
	check(dir >= 0 && fd >= 0 && plain >= 0, "open");
	check(fsetxattr(fd, "trusted.zdtm", "kept", 4, 0) == 0, "trusted.zdtm");
	check(fsetxattr(fd, ACCESS, acl, sizeof(acl), 0) == 0, ACCESS);
	check(fsetxattr(fd, CAPABILITY, capability, sizeof(capability), 0) == 0, CAPABILITY);
	/* From here on whatever is made in it inherits an ACL. */
	check(fsetxattr(dir, DEFAULT, acl, sizeof(acl), 0) == 0, DEFAULT);
	check(snprintf(path, sizeof(path), "%s/file", test_dirname) > 0 && unlink(path) == 0, "unlink %s", path);
	check(snprintf(path, sizeof(path), "%s/plain", test_dirname) > 0 && unlink(path) == 0, "unlink %s", path);

	test_daemon();
	test_waitsig();

	check(has(fd, "trusted.zdtm", "kept", 4), "the attribute has changed");
	check(has(fd, ACCESS, acl, sizeof(acl)), "the ACL has changed");
	check(has(fd, CAPABILITY, capability, sizeof(capability)), "the capability has changed");
	check(fstat(fd, &status) == 0 && (status.st_mode & 0777) == 0670, "the mode is %o", status.st_mode & 0777);
	check(fgetxattr(plain, ACCESS, path, sizeof(path)) < 0 && errno == ENODATA, "an ACL was inherited");
	check(fstat(plain, &status) == 0 && (status.st_mode & 0777) == 0640, "the mode is %o", status.st_mode & 0777);
	check(has(dir, DEFAULT, acl, sizeof(acl)), "the default ACL has changed");
	check(rmdir(test_dirname) == 0, "rmdir");
	return pass();
}
