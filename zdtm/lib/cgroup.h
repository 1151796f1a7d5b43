/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Control groups. Hierarchies are named as in /proc/PID/cgroup: "name=x" is one of v1 without controllers, made on the
 * spot and mounted for the caller alone; "" is that of v2.
 */
#ifndef CGROUP_H
#define CGROUP_H

#include "zdtm.h"

#include <fcntl.h>
#include <mntent.h>
#include <sys/stat.h>

/* fsopen(2) and its kin, which older C libraries lack; -1 if the kernel is destroying the hierarchy. */
static inline int cgroup_try_mount(const char *name)
{
	int context = syscall(SYS_fsopen, "cgroup", 0);
	int root = -1;

	check(context >= 0, "fsopen");
	check(syscall(SYS_fsconfig, context, 0 /* SET_FLAG */, "none", NULL, 0) == 0, "fsconfig none");
	check(syscall(SYS_fsconfig, context, 1 /* SET_STRING */, "name", name, 0) == 0, "fsconfig name");
	if (syscall(SYS_fsconfig, context, 6 /* CREATE */, NULL, NULL, 0) == 0) {
		root = syscall(SYS_fsmount, context, 0, 0);
		check(root >= 0, "fsmount");
	} else {
		check(errno == EBUSY, "fsconfig create");
	}
	close(context);
	return root;
}

static inline int cgroup_mount_name(const char *name)
{
	int root;

	while ((root = cgroup_try_mount(name)) < 0)
		;
	return root;
}

/* The root directory of a hierarchy. A second mount of v2 would change the first one: it is used where it is. */
static inline int cgroup_root(const char *hierarchy)
{
	struct mntent *mount;
	int root = -1;
	FILE *mounts;

	if (strncmp(hierarchy, "name=", 5) == 0)
		return cgroup_mount_name(hierarchy + 5);
	mounts = setmntent("/proc/self/mounts", "r");
	check(mounts, "/proc/self/mounts");
	while (root < 0 && (mount = getmntent(mounts))) {
		if (*hierarchy ? strcmp(mount->mnt_type, "cgroup") == 0 && hasmntopt(mount, hierarchy) :
				 strcmp(mount->mnt_type, "cgroup2") == 0)
			root = open(mount->mnt_dir, O_RDONLY | O_DIRECTORY);
	}
	endmntent(mounts);
	check(root >= 0, "hierarchy %s is not mounted", hierarchy);
	return root;
}

/* True if a controller of this name is in a v1 hierarchy. */
static inline bool cgroup_is_v1(const char *controller)
{
	char text[8192], wanted[64];

	check(read_text("/proc/self/cgroup", text, sizeof(text)) > 0, "/proc/self/cgroup");
	snprintf(wanted, sizeof(wanted), ":%s:", controller);
	return strstr(text, wanted);
}

/* The path of a task ("self", "thread-self", a pid) in a hierarchy. */
static inline void cgroup_path(const char *task, const char *hierarchy, char *path, size_t size)
{
	char file[64], text[8192], wanted[128];

	snprintf(file, sizeof(file), "/proc/%s/cgroup", task);
	check(read_text(file, text, sizeof(text)) > 0, "%s", file);
	snprintf(wanted, sizeof(wanted), ":%s:/", hierarchy);
	char *found = strstr(text, wanted);

	check(found, "%s is in no hierarchy %s", task, hierarchy);
	found += strlen(wanted) - 1;
	snprintf(path, size, "%.*s", (int)strcspn(found, "\n"), found);
}

static inline bool cgroup_is(const char *task, const char *hierarchy, const char *wanted)
{
	char path[512];

	cgroup_path(task, hierarchy, path, sizeof(path));
	if (strcmp(path, wanted) != 0)
		test_msg("%s is in %s of %s", task, path, hierarchy);
	return strcmp(path, wanted) == 0;
}

/* Makes a cgroup; paths begin with a slash. */
static inline void cgroup_make(int root, const char *path)
{
	check(mkdirat(root, path + 1, 0755) == 0, "mkdir %s", path);
}

static inline void cgroup_remove(int root, const char *path)
{
	check(unlinkat(root, path + 1, AT_REMOVEDIR) == 0, "rmdir %s", path);
}

/* Gives up a named hierarchy that is empty: it goes with its last mount, if the kernel is done with its cgroups. */
static inline void cgroup_forget(const char *hierarchy, int root)
{
	char text[8192];

	for (;;) {
		if (root >= 0)
			close(root);
		/* A mount that comes too soon makes it anew. */
		usleep(20000);
		check(read_text("/proc/self/cgroup", text, sizeof(text)) > 0, "/proc/self/cgroup");
		if (!strstr(text, hierarchy))
			return;
		root = cgroup_try_mount(hierarchy + strlen("name="));
	}
}

static inline int cgroup_open(int root, const char *path, const char *name, int flags)
{
	char file[512];

	snprintf(file, sizeof(file), ".%s/%s", path, name);
	return openat(root, file, flags);
}

/* Writes to a control file; 0, or -1 and errno. */
static inline int cgroup_write(int root, const char *path, const char *name, const char *text)
{
	int fd = cgroup_open(root, path, name, O_WRONLY);
	ssize_t written = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return written < 0 ? -1 : 0;
}

static inline bool cgroup_holds(int root, const char *path, const char *name, const char *wanted)
{
	char text[256];
	int fd = cgroup_open(root, path, name, O_RDONLY);
	ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	check(size >= 0, "%s of %s", name, path);
	close(fd);
	text[size] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (strcmp(text, wanted) != 0)
		test_msg("%s of %s is %s", name, path, text);
	return strcmp(text, wanted) == 0;
}

/* The calling process enters a cgroup. */
static inline void cgroup_enter(int root, const char *path)
{
	check(cgroup_write(root, path, "cgroup.procs", "0") == 0, "enter %s", path);
}

#endif
