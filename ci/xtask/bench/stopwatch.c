/*
 * Runs a program and measures it.
 *
 *   stopwatch RESULT PROGRAM [ARGUMENT...]
 *
 * Writes one line to the file RESULT: the microseconds from before the fork until the program was reaped, the most
 * memory that it had resident in KiB (getrusage(2), ru_maxrss), and its wait status. In C because a child inherits
 * the peak of the process that forked it: this one is smaller than anything that it measures.
 */
#define _GNU_SOURCE
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long microseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
	struct rusage usage;
	int status;
	FILE *result;
	long began;
	pid_t pid;

	if (argc < 3)
		errx(2, "usage: stopwatch RESULT PROGRAM [ARGUMENT...]");
	began = microseconds();
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		/* Whoever gives up on the measurement ends the stopwatch, and the program with it. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(argv[2], argv + 2);
		err(127, "%s", argv[2]);
	}
	if (wait4(pid, &status, 0, &usage) != pid)
		err(1, "wait4");
	began = microseconds() - began;
	result = fopen(argv[1], "w");
	if (!result || fprintf(result, "%ld %ld %d\n", began, usage.ru_maxrss, status) < 0 || fclose(result))
		err(1, "%s", argv[1]);
	return 0;
}
