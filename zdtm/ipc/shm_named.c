/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A segment with a key, which stays in the kernel: the program has the same one afterwards. */
#include "zdtm.h"

#include <sys/shm.h>

int main(int argc, char **argv)
{
	const size_t size = 3 * page_size();
	struct shmid_ds before, after;
	char *area;
	key_t key;
	int id;

	test_init(argc, argv);
	key = 0x5a000000 | getpid();
	id = shmget(key, size, IPC_CREAT | IPC_EXCL | 0640);
	check(id >= 0, "shmget");
	area = shmat(id, NULL, 0);
	check(area != (void *)-1, "shmat");
	pattern_fill(area, size, 1);
	check(shmctl(id, IPC_STAT, &before) == 0, "IPC_STAT");

	test_daemon();
	test_waitsig();

	check(shmget(key, 0, 0) == id, "the key leads to segment %d", shmget(key, 0, 0));
	check(shmctl(id, IPC_STAT, &after) == 0, "there is no segment %d", id);
	check(after.shm_ctime == before.shm_ctime, "it was changed or made anew");
	check(after.shm_perm.mode == before.shm_perm.mode, "its mode is %o", after.shm_perm.mode);
	check(after.shm_nattch == before.shm_nattch, "it is mapped %ld times", (long)after.shm_nattch);
	check(pattern_holds(area, size, 1), "its contents have changed");
	check(shmctl(id, IPC_RMID, NULL) == 0 && shmdt(area) == 0, "IPC_RMID");
	check(shmctl(id, IPC_STAT, &after) == -1, "somebody else has it attached");
	return pass();
}
