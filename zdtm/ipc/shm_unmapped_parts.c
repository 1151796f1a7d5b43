/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Of a segment the first, a middle and the last part are unmapped, with something else in their place, and shmdt(2) finds
 * what is left. */
#include "zdtm.h"

#include <sys/shm.h>

enum { PAGES = 10 };

int main(int argc, char **argv)
{
	struct shmid_ds status;
	char *area, *other;
	struct vma vma;
	size_t page;
	int id;

	test_init(argc, argv);
	page = page_size();
	id = shmget(IPC_PRIVATE, PAGES * page, IPC_CREAT | 0600);
	check(id >= 0, "shmget");
	area = shmat(id, NULL, 0);
	check(area != (void *)-1 && shmctl(id, IPC_RMID, NULL) == 0, "shmat");
	pattern_fill(area, PAGES * page, 1);
	check(munmap(area, page) == 0 && munmap(area + 4 * page, page) == 0, "munmap");
	check(munmap(area + 8 * page, 2 * page) == 0, "munmap");
	other = mmap(area + 4 * page, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	check(other == area + 4 * page, "mmap");
	strcpy(other, "other");

	test_daemon();
	test_waitsig();

	check(!find_vma(area, &vma) && !find_vma(area + 9 * page, &vma), "more is mapped than was");
	check(find_vma(area + page, &vma) && vma.offset == page, "it begins at offset %llu",
	      (unsigned long long)vma.offset);
	check(!strcmp(other, "other"), "what is between has changed");
	check(shmctl(id, IPC_STAT, &status) == 0 && status.shm_nattch == 2, "%d mappings", (int)status.shm_nattch);
	other = shmat(id, NULL, 0);
	check(other != (void *)-1 && pattern_holds(other, PAGES * page, 1), "contents have changed");
	check(!memcmp(area + page, other + page, 3 * page), "the first part has changed");
	check(!memcmp(area + 5 * page, other + 5 * page, 3 * page), "the second part has changed");
	check(shmdt(other) == 0 && shmdt(area) == 0, "shmdt");
	check(!find_vma(area + page, &vma) && !find_vma(area + 5 * page, &vma), "shmdt has left something");
	check(shmctl(id, IPC_STAT, &status) == -1, "the segment is still there");
	return pass();
}
