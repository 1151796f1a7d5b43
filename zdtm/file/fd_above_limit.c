/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A descriptor above RLIMIT_NOFILE, as the limit was lowered after it was opened (getrlimit(2)). */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/resource.h>

#define HIGH 900

int main(int argc, char **argv)
{
	struct rlimit limit;
	rlim_t hard;

	test_init(argc, argv);
	check(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
	hard = limit.rlim_max;
	check(dup2(open(test_filename, O_RDWR | O_CREAT, 0600), HIGH) == HIGH, "dup2 to %d", HIGH);
	close(3);
	check(write(HIGH, "text", 4) == 4, "write");
	limit.rlim_cur = 32;
	check(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");

	test_daemon();
	test_waitsig();

	check(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
	check(limit.rlim_cur == 32 && limit.rlim_max == hard, "the limit is %ju of %ju", (uintmax_t)limit.rlim_cur,
	      (uintmax_t)limit.rlim_max);
	check(lseek(HIGH, 0, SEEK_CUR) == 4 && write(HIGH, "more", 4) == 4, "fd %d is lost", HIGH);
	check(dup2(HIGH, HIGH + 1) == -1 && errno == EBADF, "the limit is not in force");
	return pass();
}
