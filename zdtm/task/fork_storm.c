/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The tree has another shape at every look; each child must end as it should, whenever it was dumped. */
#include "zdtm.h"

int main(int argc, char **argv)
{
	unsigned int rounds = 0;
	char *page;
	int status;
	pid_t pid;

	test_init(argc, argv);
	page = map_pages(1);
	test_daemon();
	while (test_go()) {
		pattern_fill(page, page_size(), rounds);
		pid = fork();
		check(pid >= 0, "fork");
		if (pid == 0)
			_exit(pattern_holds(page, page_size(), rounds) ? rounds % 100 : 200);
		while (waitpid(pid, &status, 0) < 0)
			check(errno == EINTR, "waitpid");
		check(WIFEXITED(status) && WEXITSTATUS(status) == (int)(rounds % 100), "round %u ended with %#x", rounds,
		      status);
		rounds++;
	}
	errno = 0;
	check(rounds > 0, "no child was forked");
	return pass();
}
