/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Deep recursion after the restore goes far below what the stack had when it was dumped. */
#include "zdtm.h"

static uint64_t descend(uint64_t depth)
{
	volatile unsigned char frame[1024];
	uint64_t below;

	for (size_t i = 0; i < sizeof(frame); i += 64)
		frame[i] = depth;
	below = depth ? descend(depth - 1) : 0;
	for (size_t i = 0; i < sizeof(frame); i += 64)
		check(frame[i] == (unsigned char)depth, "frame %ju has changed", (uintmax_t)depth);
	return below + 1;
}

int main(int argc, char **argv)
{
	struct vma before, after;

	test_init(argc, argv);
	check(find_vma(&before, &before) && vma_has(&before, "gd"), "the stack does not grow down");
	test_daemon();
	test_waitsig();
	check(find_vma(&before, &after), "the stack is gone");
	check(vma_has(&after, "gd"), "the stack does not grow down any more: %s", after.flags);
	check(!strcmp(after.name, "[stack]"), "the stack is called %s", after.name);
	check(descend(4000) == 4001, "recursion");
	return pass();
}
