/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* brk(2) keeps an end that is not on a page boundary; the next sbrk(3) goes on exactly there. */
#include "zdtm.h"

int main(int argc, char **argv)
{
	const size_t odd = 3 * page_size() + 123;
	char *start, *end, *next;

	test_init(argc, argv);
	start = sbrk(odd);
	check(start != (void *)-1, "sbrk");
	end = sbrk(0);
	pattern_fill(start, odd, 1);
	test_daemon();
	test_waitsig();
	check(sbrk(0) == end, "the end was %p, is %p", end, sbrk(0));
	check(pattern_holds(start, odd, 1), "the heap has changed");
	next = sbrk(2 * page_size());
	check(next == end, "the heap goes on at %p, not at %p", next, end);
	pattern_fill(next, 2 * page_size(), 2);
	check(pattern_holds(start, odd, 1), "the new part lies over the old one");
	check(sbrk(-(intptr_t)(2 * page_size())) != (void *)-1 && sbrk(0) == end, "the heap does not shrink");
	return pass();
}
