/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A cgroup of v2 with limits, an owner, and a child for another task. */
#include "cgroup.h"

static char outer[64], inner[80];
static struct barrier *ready;

static int child(void *path)
{
	int root = cgroup_root("");

	cgroup_enter(root, path);
	close(root);
	barrier_post(ready);
	test_waitsig();
	check(cgroup_is("self", "", path), "the child is elsewhere");
	return 0;
}

int main(int argc, char **argv)
{
	char before[512];
	struct stat st;
	pid_t pid;
	int root;

	test_init(argc, argv);
	ready = barrier_new();
	snprintf(outer, sizeof(outer), "/zdtm-%d", getpid());
	snprintf(inner, sizeof(inner), "%s/inner", outer);
	cgroup_path("self", "", before, sizeof(before));
	root = cgroup_root("");
	cgroup_make(root, outer);
	cgroup_make(root, inner);
	check(cgroup_write(root, outer, "cgroup.max.depth", "3") == 0, "cgroup.max.depth");
	check(fchownat(root, inner + 1, 1000, 1001, 0) == 0, "chown");
	cgroup_enter(root, outer);
	close(root);
	pid = test_fork(child, inner);
	barrier_wait(ready, 1);

	test_daemon();
	test_waitsig();

	check(cgroup_is("self", "", outer), "the parent is elsewhere");
	test_join(pid);
	root = cgroup_root("");
	check(cgroup_holds(root, outer, "cgroup.max.depth", "3"), "another depth");
	check(fstatat(root, inner + 1, &st, 0) == 0 && st.st_uid == 1000 && st.st_gid == 1001, "another owner");
	cgroup_enter(root, before);
	cgroup_remove(root, inner);
	cgroup_remove(root, outer);
	return pass();
}
