/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A shell that counts, and starts a program for each number, goes on with the next one: what comes out of its pipe has
 * no gap and no repetition. */
#include "zdtm.h"

#define LOOP "i=0; while :; do echo $i; i=$(expr $i + 1); sleep 0.01; done"
#define ENOUGH 5

/* The next line of the pipe, which must be `wanted`. */
static void expect(FILE *lines, unsigned int wanted)
{
	unsigned int number;

	check(fscanf(lines, "%u\n", &number) == 1, "no number comes out of the shell");
	check(number == wanted, "the shell says %u, not %u", number, wanted);
}

int main(int argc, char **argv)
{
	unsigned int next = 0;
	int ends[2];
	FILE *lines;
	pid_t shell;

	test_init(argc, argv);
	check(pipe(ends) == 0, "pipe");
	shell = fork();
	check(shell >= 0, "fork");
	if (shell == 0) {
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		execl("/bin/sh", "sh", "-c", LOOP, NULL);
		_exit(127);
	}
	close(ends[1]);
	lines = fdopen(ends[0], "r");
	check(lines != NULL, "fdopen");
	while (next < ENOUGH)
		expect(lines, next++);
	test_daemon();
	test_waitsig();
	/* What the pipe held, and then what is new: as much as it can hold would be 64 KiB. */
	for (unsigned int end = next + 20 * ENOUGH; next < end;)
		expect(lines, next++);
	check(kill(shell, SIGKILL) == 0, "kill");
	check(waitpid(shell, NULL, 0) == shell, "waitpid");
	return pass();
}
