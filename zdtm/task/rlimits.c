/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Each limit is lowered to a value of its own. */
#include "zdtm.h"

#include <sys/resource.h>

/* Above the default of no resource by itself: a limit is only ever lowered, which needs no privilege. */
static void chosen(int resource, struct rlimit *limit)
{
	check(getrlimit(resource, limit) == 0, "getrlimit %d", resource);
	if (limit->rlim_max > 1000000000)
		limit->rlim_max = 1000000000;
	limit->rlim_max -= limit->rlim_max > 100 ? resource * 3 : 0;
	if (limit->rlim_cur > limit->rlim_max)
		limit->rlim_cur = limit->rlim_max;
	limit->rlim_cur -= limit->rlim_cur > 100 ? resource : 0;
}

int main(int argc, char **argv)
{
	struct rlimit expected[RLIM_NLIMITS], now;

	test_init(argc, argv);
	for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
		chosen(resource, &expected[resource]);
		check(setrlimit(resource, &expected[resource]) == 0, "setrlimit %d", resource);
	}
	test_daemon();
	test_waitsig();
	for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
		check(getrlimit(resource, &now) == 0, "getrlimit %d", resource);
		check(now.rlim_cur == expected[resource].rlim_cur, "soft limit %d is %ju", resource,
		      (uintmax_t)now.rlim_cur);
		check(now.rlim_max == expected[resource].rlim_max, "hard limit %d is %ju", resource,
		      (uintmax_t)now.rlim_max);
	}
	return pass();
}
