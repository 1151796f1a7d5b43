/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A segment at an address that the program has chosen, once more over another mapping, and a piece that was moved. */
#include "zdtm.h"

#include <sys/shm.h>

enum { PAGES = 4 };

int main(int argc, char **argv)
{
	char *room, *chosen, *over, *moved;
	struct vma vma;
	size_t page, size;
	int id;

	test_init(argc, argv);
	page = page_size();
	size = PAGES * page;
	id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);
	check(id >= 0, "shmget");
	/* Room in which every address is one that shmat(2) takes. */
	room = mmap(NULL, 0x200000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(room != MAP_FAILED && munmap(room, 0x200000) == 0, "mmap");
	room = (char *)(((uintptr_t)room + 0x7ffff) & ~(uintptr_t)0x3ffff);
	chosen = shmat(id, room + 3, SHM_RND);
	check(chosen == room, "shmat at %p: %p", room, chosen);
	over = mmap(room + 0x40000, 2 * size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(over == room + 0x40000 && shmat(id, over, SHM_REMAP) == over, "SHM_REMAP");
	moved = shmat(id, NULL, 0);
	check(moved != (void *)-1 && shmctl(id, IPC_RMID, NULL) == 0, "shmat");
	moved = mremap(moved + page, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, room + 0x80000 + page);
	check(moved == room + 0x80000 + page, "mremap");
	pattern_fill(chosen, size, 1);

	test_daemon();
	test_waitsig();

	check(pattern_holds(chosen, size, 1), "its contents have changed");
	check(!memcmp(chosen, over, size), "the second mapping shows something else");
	check(!memcmp(chosen + page, moved, 2 * page), "what was moved shows something else");
	check(find_vma(over + size, &vma) && !vma.name[0], "what was mapped before is gone");
	moved[0] = over[1] = 'x';
	check(chosen[page] == 'x' && chosen[1] == 'x', "the mappings are not of one segment any more");
	check(shmdt(over) == 0 && shmdt(chosen) == 0, "shmdt");
	check(moved[0] == 'x', "shmdt has unmapped what was moved");
	return pass();
}
