/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Prints 0, 1, 2, ... one number a line: counter [MILLISECONDS], 1000 by default.
 *
 * The first program that people try. A gap or a repeated number in its output means that it was not resumed where
 * it stopped.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
	long milliseconds = argc > 1 ? strtol(argv[1], NULL, 10) : 1000;

	for (unsigned long number = 0;; number++) {
		struct timespec rest = { milliseconds / 1000, milliseconds % 1000 * 1000000 };

		if (printf("%lu\n", number) < 0 || fflush(stdout))
			return 1;
		while (nanosleep(&rest, &rest) && errno == EINTR)
			;
	}
}
