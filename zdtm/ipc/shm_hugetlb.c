/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* SHM_HUGETLB: a segment of two huge pages, one of them touched, and a mapping of the second alone. */
#include "zdtm.h"

#include <sys/shm.h>

int main(int argc, char **argv)
{
	struct shmid_ds status;
	char *area, *half;
	struct vma vma;
	size_t page;
	int id;

	test_init(argc, argv);
	page = huge_pages(2);
	id = shmget(IPC_PRIVATE, 2 * page - 100, IPC_CREAT | SHM_HUGETLB | 0600);
	check(id >= 0, "shmget of huge pages");
	area = shmat(id, huge_place(page, 2), 0);
	half = shmat(id, huge_place(page, 2), 0);
	check(area != (void *)-1 && half != (void *)-1, "shmat");
	check(munmap(half, page) == 0 && shmctl(id, IPC_RMID, NULL) == 0, "munmap");
	half += page;
	pattern_fill(half, page, 1);

	test_daemon();
	test_waitsig();

	check(find_vma(area, &vma) && vma_has(&vma, "ht"), "it is not of huge pages any more");
	check(shmctl(id, IPC_STAT, &status) == 0, "there is no segment %d", id);
	check(status.shm_segsz == 2 * page - 100, "it has %zu bytes", (size_t)status.shm_segsz);
	check(pattern_holds(half, page, 1) && pattern_holds(area + page, page, 1), "its contents have changed");
	check(huge_resident() <= 2 * page, "%zu bytes are in memory", huge_resident());
	half[9] = 'x';
	check(area[page + 9] == 'x', "there are two segments");
	return pass();
}
