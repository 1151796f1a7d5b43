/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* MCL_FUTURE is an attribute of the process, seen only in what it maps next. */
#include "zdtm.h"

int main(int argc, char **argv)
{
	struct vma vma;
	void *area;

	test_init(argc, argv);
	check(mlockall(MCL_FUTURE) == 0, "mlockall");
	test_daemon();
	test_waitsig();
	area = mmap(NULL, page_size(), PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(area != MAP_FAILED && find_vma(area, &vma), "mmap");
	check(vma_has(&vma, "lo"), "new memory is not locked: %s", vma.flags);
	return pass();
}
