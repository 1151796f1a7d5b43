/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Threads of one process in different threaded cgroups of v2. */
#include "cgroup.h"

#include <pthread.h>

static char domain[64], paths[2][80];
static struct barrier *ready, *go;

static void enter(int root, const char *path)
{
	check(cgroup_write(root, path, "cgroup.threads", "0") == 0, "enter %s", path);
}

static void *thread(void *path)
{
	int root = cgroup_root("");

	enter(root, path);
	close(root);
	barrier_post(ready);
	barrier_wait(go, 1);
	check(cgroup_is("thread-self", "", path), "the thread is elsewhere");
	return NULL;
}

int main(int argc, char **argv)
{
	char before[512];
	pthread_t other;
	int root;

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	cgroup_path("self", "", before, sizeof(before));
	root = cgroup_root("");
	snprintf(domain, sizeof(domain), "/zdtm-%d", getpid());
	cgroup_make(root, domain);
	cgroup_enter(root, domain);
	for (int i = 0; i < 2; i++) {
		snprintf(paths[i], sizeof(paths[i]), "%s/%d", domain, i);
		cgroup_make(root, paths[i]);
		check(cgroup_write(root, paths[i], "cgroup.type", "threaded") == 0, "cgroup.type");
	}
	check(pthread_create(&other, NULL, thread, paths[1]) == 0, "pthread_create");
	barrier_wait(ready, 1);
	enter(root, paths[0]);
	close(root);

	test_daemon();
	test_waitsig();

	check(cgroup_is("thread-self", "", paths[0]), "the main thread is elsewhere");
	barrier_post(go);
	check(pthread_join(other, NULL) == 0, "pthread_join");
	root = cgroup_root("");
	check(cgroup_holds(root, paths[1], "cgroup.type", "threaded"), "another type");
	cgroup_enter(root, before);
	cgroup_remove(root, paths[0]);
	while (unlinkat(root, paths[1] + 1, AT_REMOVEDIR) != 0)
		check(errno == EBUSY, "rmdir %s", paths[1]);
	cgroup_remove(root, domain);
	return pass();
}
