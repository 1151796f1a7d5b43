/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A segment of whose mapping parts have other rights, and which shmdt(2) detaches as one. */
#include "zdtm.h"

#include <sys/shm.h>

enum { PAGES = 6 };

int main(int argc, char **argv)
{
	struct shmid_ds status;
	struct vma vma;
	size_t page;
	char *area;
	int id;

	test_init(argc, argv);
	page = page_size();
	id = shmget(IPC_PRIVATE, PAGES * page, IPC_CREAT | 0600);
	check(id >= 0, "shmget");
	area = shmat(id, NULL, 0);
	check(area != (void *)-1 && shmctl(id, IPC_RMID, NULL) == 0, "shmat");
	pattern_fill(area, PAGES * page, 1);
	check(mprotect(area + page, page, PROT_NONE) == 0, "mprotect");
	check(mprotect(area + 3 * page, page, PROT_READ | PROT_EXEC) == 0, "mprotect");

	test_daemon();
	test_waitsig();

	check(find_vma(area, &vma) && !strcmp(vma.perms, "rw-s"), "the first part is %s", vma.perms);
	check(find_vma(area + page, &vma) && !strcmp(vma.perms, "---s"), "the second part is %s", vma.perms);
	check(find_vma(area + 3 * page, &vma) && !strcmp(vma.perms, "r-xs"), "the fourth part is %s", vma.perms);
	check(shmctl(id, IPC_STAT, &status) == 0 && status.shm_nattch == 5, "%d mappings", (int)status.shm_nattch);
	check(mprotect(area, PAGES * page, PROT_READ) == 0, "mprotect");
	check(pattern_holds(area, PAGES * page, 1), "its contents have changed");
	check(shmdt(area) == 0, "shmdt");
	check(!find_vma(area, &vma) && !find_vma(area + 5 * page, &vma), "shmdt has left something");
	return pass();
}
