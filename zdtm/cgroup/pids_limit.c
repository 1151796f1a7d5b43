/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A limit on the number of tasks: of v1 or v2, wherever the controller is. */
#include "cgroup.h"

static int nothing(void *argument)
{
	return argument != NULL;
}

int main(int argc, char **argv)
{
	const char *hierarchy;
	char path[64], before[512];
	int root, exit_code;
	pid_t pid;

	test_init(argc, argv);
	hierarchy = cgroup_is_v1("pids") ? "pids" : "";
	snprintf(path, sizeof(path), "/zdtm-%d", getpid());
	cgroup_path("self", hierarchy, before, sizeof(before));
	root = cgroup_root(hierarchy);
	if (!*hierarchy)
		check(cgroup_write(root, "", "cgroup.subtree_control", "+pids") == 0, "+pids");
	cgroup_make(root, path);
	check(cgroup_write(root, path, "pids.max", "2") == 0, "pids.max");
	cgroup_enter(root, path);
	close(root);

	test_daemon();
	test_waitsig();

	check(cgroup_is("self", hierarchy, path), "in another cgroup");
	pid = test_fork(nothing, NULL);
	errno = 0;
	check(fork() == -1 && errno == EAGAIN, "a third task was born");
	check(waitpid(pid, &exit_code, 0) == pid && exit_code == 0, "the child has failed");
	root = cgroup_root(hierarchy);
	check(cgroup_holds(root, path, "pids.max", "2"), "another limit");
	cgroup_enter(root, before);
	cgroup_remove(root, path);
	return pass();
}
