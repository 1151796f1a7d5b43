/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A segment that goes with its last mapping: number, odd size, contents and a part that was never touched. */
#include "zdtm.h"

#include <sys/shm.h>

int main(int argc, char **argv)
{
	struct shmid_ds status;
	char *area, *again;
	size_t size;
	int id;

	test_init(argc, argv);
	size = 9 * page_size() + 100;
	id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);
	check(id >= 0, "shmget");
	area = shmat(id, NULL, 0);
	check(area != (void *)-1, "shmat");
	check(shmctl(id, IPC_RMID, NULL) == 0, "IPC_RMID");
	pattern_fill(area, page_size(), 1);
	pattern_fill(area + 8 * page_size(), page_size() + 100, 2);

	test_daemon();
	test_waitsig();

	check(pattern_holds(area, page_size(), 1), "the first page has changed");
	check(all_zero(area + page_size(), 7 * page_size()), "what nobody touched has contents");
	check(pattern_holds(area + 8 * page_size(), page_size() + 100, 2), "the last page has changed");
	check(shmctl(id, IPC_STAT, &status) == 0, "there is no segment %d", id);
	check(status.shm_segsz == size, "it has %zu bytes", (size_t)status.shm_segsz);
	check(status.shm_nattch == 1, "it is mapped %ld times", (long)status.shm_nattch);
	check((status.shm_perm.mode & 07777) == (SHM_DEST | 0600), "its mode is %o", status.shm_perm.mode);
	again = shmat(id, NULL, 0);
	check(again != (void *)-1, "shmat once more");
	again[3] = 'x';
	check(area[3] == 'x', "it is another segment");
	check(shmdt(again) == 0 && shmdt(area) == 0, "shmdt");
	check(shmctl(id, IPC_STAT, &status) == -1, "it has outlived its last mapping");
	return pass();
}
