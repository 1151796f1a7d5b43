/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* SHM_LOCK, which keeps the pages of a segment in memory. */
#include "zdtm.h"

#include <sys/shm.h>

int main(int argc, char **argv)
{
	struct shmid_ds status;
	char *area;
	int id;

	test_init(argc, argv);
	id = shmget(IPC_PRIVATE, page_size(), IPC_CREAT | 0600);
	check(id >= 0, "shmget");
	area = shmat(id, NULL, 0);
	check(area != (void *)-1 && shmctl(id, SHM_LOCK, NULL) == 0, "SHM_LOCK");
	check(shmctl(id, IPC_RMID, NULL) == 0, "IPC_RMID");
	pattern_fill(area, page_size(), 1);

	test_daemon();
	test_waitsig();

	check(shmctl(id, IPC_STAT, &status) == 0, "there is no segment %d", id);
	check((status.shm_perm.mode & 07777) == (SHM_LOCKED | SHM_DEST | 0600), "its mode is %o",
	      status.shm_perm.mode);
	check(pattern_holds(area, page_size(), 1), "its contents have changed");
	return pass();
}
