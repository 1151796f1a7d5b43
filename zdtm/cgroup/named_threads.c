/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Threads of one process in different cgroups of a v1 hierarchy. */
#include "cgroup.h"

#include <pthread.h>

static char hierarchy[64];
static struct barrier *ready, *go;

static void *thread(void *path)
{
	int root = cgroup_root(hierarchy);

	check(cgroup_write(root, path, "tasks", "0") == 0, "enter %s", (char *)path);
	close(root);
	barrier_post(ready);
	barrier_wait(go, 1);
	check(cgroup_is("thread-self", hierarchy, path), "a thread is elsewhere");
	return NULL;
}

int main(int argc, char **argv)
{
	static char *const paths[] = { "/one", "/two" };
	pthread_t threads[2];
	int root;

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	snprintf(hierarchy, sizeof(hierarchy), "name=zdtm-%d", getpid());
	root = cgroup_root(hierarchy);
	for (int i = 0; i < 2; i++) {
		cgroup_make(root, paths[i]);
		check(pthread_create(&threads[i], NULL, thread, paths[i]) == 0, "pthread_create");
	}
	close(root);
	barrier_wait(ready, 2);

	test_daemon();
	test_waitsig();

	check(cgroup_is("thread-self", hierarchy, "/"), "the main thread is elsewhere");
	barrier_post(go);
	root = cgroup_root(hierarchy);
	for (int i = 0; i < 2; i++) {
		check(pthread_join(threads[i], NULL) == 0, "pthread_join");
		/* The kernel may still be busy with it. */
		while (unlinkat(root, paths[i] + 1, AT_REMOVEDIR) != 0)
			check(errno == EBUSY, "rmdir %s", paths[i]);
	}
	cgroup_forget(hierarchy, root);
	return pass();
}
