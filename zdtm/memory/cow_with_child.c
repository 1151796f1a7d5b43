/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Parent and child write different pages of what they have in common; afterwards writes do not reach the other. */
#include "zdtm.h"

enum { PAGES = 60 };

static struct barrier *ready;
static char *area;

static uint32_t seed_of(size_t page, int who)
{
	return page % 3 == 0 ? 1000 + page : page % 3 == 1 && who == 0 ? 2000 + page : page % 3 == 2 && who == 1 ?
	       3000 + page : 1000 + page;
}

static void verify(int who, const char *name)
{
	for (size_t i = 0; i < PAGES; i++)
		check(pattern_holds(area + i * page_size(), page_size(), seed_of(i, who)), "page %zu of the %s", i, name);
}

static void write_own(int who)
{
	for (size_t i = 0; i < PAGES; i++)
		if (seed_of(i, who) >= 2000)
			pattern_fill(area + i * page_size(), page_size(), seed_of(i, who));
}

static int child(void *argument)
{
	write_own(1);
	barrier_post(ready);
	test_waitsig();
	verify(1, "child");
	memset(area, 0x11, PAGES * page_size());
	return argument != NULL;
}

int main(int argc, char **argv)
{
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	area = map_pages(PAGES);
	for (size_t i = 0; i < PAGES; i++)
		pattern_fill(area + i * page_size(), page_size(), 1000 + i);
	pid = test_fork(child, NULL);
	write_own(0);
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	verify(0, "parent");
	test_join(pid);
	verify(0, "parent after the child has written");
	return pass();
}
