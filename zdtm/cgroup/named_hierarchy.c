/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A process and its children in different cgroups of a hierarchy that is mounted nowhere. */
#include "cgroup.h"

static char hierarchy[64];
static struct barrier *ready;

static int child(void *path)
{
	int root = cgroup_root(hierarchy);

	cgroup_enter(root, path);
	close(root);
	barrier_post(ready);
	test_waitsig();
	check(cgroup_is("self", hierarchy, path), "the child is elsewhere");
	return 0;
}

int main(int argc, char **argv)
{
	pid_t pids[2];
	int root;

	test_init(argc, argv);
	ready = barrier_new();
	snprintf(hierarchy, sizeof(hierarchy), "name=zdtm-%d", getpid());
	root = cgroup_root(hierarchy);
	cgroup_make(root, "/outer");
	cgroup_make(root, "/outer/inner");
	cgroup_make(root, "/outer/empty");
	cgroup_enter(root, "/outer");
	close(root);
	pids[0] = test_fork(child, "/outer/inner");
	pids[1] = test_fork(child, "/");
	barrier_wait(ready, 2);

	test_daemon();
	test_waitsig();

	check(cgroup_is("self", hierarchy, "/outer"), "the parent is elsewhere");
	test_join(pids[0]);
	test_join(pids[1]);
	root = cgroup_root(hierarchy);
	cgroup_enter(root, "/");
	cgroup_remove(root, "/outer/empty");
	cgroup_remove(root, "/outer/inner");
	cgroup_remove(root, "/outer");
	cgroup_forget(hierarchy, root);
	return pass();
}
