/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A segment that is attached twice, once with SHM_RDONLY: that mapping can never be written to. */
#include "zdtm.h"

#include <sys/shm.h>

int main(int argc, char **argv)
{
	char *area, *read_only;
	struct vma vma;
	int id;

	test_init(argc, argv);
	id = shmget(IPC_PRIVATE, page_size(), IPC_CREAT | 0600);
	check(id >= 0, "shmget");
	area = shmat(id, NULL, 0);
	read_only = shmat(id, NULL, SHM_RDONLY);
	check(area != (void *)-1 && read_only != (void *)-1, "shmat");
	check(shmctl(id, IPC_RMID, NULL) == 0, "IPC_RMID");
	/* A mapping that could be written to, but is not. */
	check(mprotect(area, page_size(), PROT_READ) == 0, "mprotect");

	test_daemon();
	test_waitsig();

	check(find_vma(area, &vma) && !strcmp(vma.perms, "r--s"), "it is mapped as %s", vma.perms);
	check(mprotect(area, page_size(), PROT_READ | PROT_WRITE) == 0, "it cannot be written to");
	area[5] = 'x';
	check(read_only[5] == 'x', "there are two segments");
	check(mprotect(read_only, page_size(), PROT_READ | PROT_WRITE) == -1 && errno == EACCES,
	      "what was for reading alone can be written to");
	return pass();
}
