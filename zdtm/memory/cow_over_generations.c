/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Three generations; each keeps what it inherited and has one region of its own. */
#include "zdtm.h"

enum { GENERATIONS = 3, REGION = 8 };

static struct barrier *ready;
static char *area;

static char *region(int i)
{
	return area + (size_t)i * REGION * page_size();
}

static int live(void *argument)
{
	const int generation = (uintptr_t)argument;
	const size_t size = REGION * page_size();
	pid_t pid = 0;

	pattern_fill(region(generation), size, 10 + generation);
	if (generation + 1 < GENERATIONS)
		pid = test_fork(live, (void *)(uintptr_t)(generation + 1));
	barrier_post(ready);
	if (generation > 0)
		test_waitsig();
	else {
		barrier_wait(ready, GENERATIONS);
		test_daemon();
		test_waitsig();
	}
	if (pid)
		test_join(pid);
	for (int i = 0; i < GENERATIONS; i++)
		check(i <= generation ? pattern_holds(region(i), size, 10 + i) : all_zero(region(i), size),
		      "generation %d sees other data in region %d", generation, i);
	return 0;
}

int main(int argc, char **argv)
{
	test_init(argc, argv);
	ready = barrier_new();
	area = map_pages(GENERATIONS * REGION);
	live(NULL);
	return pass();
}
