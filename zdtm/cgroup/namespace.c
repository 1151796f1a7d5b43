/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A cgroup namespace: what it hides, and a child below its root. */
#include "cgroup.h"

#include <sched.h>

static char outer[64], inner[80];
static struct barrier *ready;

static int child(void *path)
{
	int root = cgroup_root("");

	cgroup_enter(root, path);
	close(root);
	barrier_post(ready);
	test_waitsig();
	check(cgroup_is("self", "", "/inner"), "the child is elsewhere");
	return 0;
}

/* Outside of tree and namespace, beyond which nobody else may go: takes a task and its cgroups away when it is asked. */
static void janitor(const char *before)
{
	int root = cgroup_root("");
	char pid[16];

	setsid();
	while (read_text(test_filename, pid, sizeof(pid)) <= 0)
		usleep(1000);
	check(cgroup_write(root, before, "cgroup.procs", pid) == 0, "enter %s", before);
	cgroup_remove(root, inner);
	cgroup_remove(root, outer);
	check(unlink(test_filename) == 0, "unlink");
}

int main(int argc, char **argv)
{
	char before[512], text[16];
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
	pid = fork();
	if (pid == 0) {
		if (fork() == 0)
			janitor(before);
		_exit(0);
	}
	check(waitpid(pid, NULL, 0) == pid, "waitpid");
	cgroup_enter(root, outer);
	close(root);
	check(unshare(CLONE_NEWCGROUP) == 0, "unshare");
	pid = test_fork(child, inner);
	barrier_wait(ready, 1);

	test_daemon();
	test_waitsig();

	check(cgroup_is("self", "", "/"), "the root of the namespace is elsewhere");
	test_join(pid);
	/* What it is from outside, the runner compares. */
	snprintf(text, sizeof(text), "%d", getpid());
	check(write_text(test_filename, text) == 0, "%s", test_filename);
	while (access(test_filename, F_OK) == 0)
		usleep(1000);
	return pass();
}
