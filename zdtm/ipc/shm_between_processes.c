/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A child has its parent's segment by birth, and another that both have attached for themselves. */
#include "zdtm.h"

#include <sys/shm.h>

static struct barrier *ready;
static char *inherited;
static int own;

static char *attach(int id)
{
	char *area = shmat(id, NULL, 0);

	check(area != (void *)-1, "shmat");
	return area;
}

static int child(void *argument)
{
	char *area = attach(own);

	(void)argument;
	barrier_post(ready);
	test_waitsig();
	check(pattern_holds(inherited, page_size(), 1) && pattern_holds(area, page_size(), 2), "other contents");
	pattern_fill(inherited, page_size(), 3);
	pattern_fill(area, page_size(), 4);
	return 0;
}

int main(int argc, char **argv)
{
	struct shmid_ds status;
	char *area;
	pid_t pid;
	int id;

	test_init(argc, argv);
	ready = barrier_new();
	id = shmget(IPC_PRIVATE, page_size(), IPC_CREAT | 0600);
	own = shmget(IPC_PRIVATE, page_size(), IPC_CREAT | 0600);
	check(id >= 0 && own >= 0, "shmget");
	inherited = attach(id);
	pid = test_fork(child, NULL);
	barrier_wait(ready, 1);
	area = attach(own);
	pattern_fill(inherited, page_size(), 1);
	pattern_fill(area, page_size(), 2);
	check(shmctl(id, IPC_RMID, NULL) == 0 && shmctl(own, IPC_RMID, NULL) == 0, "IPC_RMID");

	test_daemon();
	test_waitsig();

	check(shmctl(id, IPC_STAT, &status) == 0 && status.shm_nattch == 2, "%d maps it", (int)status.shm_nattch);
	check(shmctl(own, IPC_STAT, &status) == 0 && status.shm_nattch == 2, "%d maps it", (int)status.shm_nattch);
	test_join(pid);
	check(pattern_holds(inherited, page_size(), 3), "the inherited one is not shared any more");
	check(pattern_holds(area, page_size(), 4), "the other one is not shared any more");
	return pass();
}
