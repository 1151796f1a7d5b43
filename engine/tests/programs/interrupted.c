/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Children that stand still in a system call with a signal of theirs pending, whose handler runs before all else when
 * they go on. At SIGTERM they do; the verdict says of each call whether it failed with EINTR or was made again.
 * The argument is the file for "READY PID" and the verdict.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int input[2], handled[2];

static void on_usr1(int signal)
{
	(void)signal;
	if (write(handled[1], "h", 1) != 1)
		_exit(9);
}

static int read_byte(void)
{
	char byte;

	return read(input[0], &byte, 1);
}

static int poll_byte(void)
{
	struct pollfd fd = { .fd = input[0], .events = POLLIN };

	return poll(&fd, 1, -1);
}

static int sleep_a_while(void)
{
	return nanosleep(&(struct timespec){ .tv_sec = 3 }, NULL);
}

static const struct {
	const char *name;
	int (*call)(void);
	int flags;
} calls[] = {
	{ "read", read_byte, 0 },
	{ "read-restart", read_byte, SA_RESTART },
	{ "poll-restart", poll_byte, SA_RESTART },
	{ "sleep", sleep_a_while, 0 },
};

#define CALLS (sizeof(calls) / sizeof(calls[0]))

static void child(size_t which)
{
	struct sigaction action = { .sa_handler = on_usr1, .sa_flags = calls[which].flags };

	sigaction(SIGUSR1, &action, NULL);
	_exit(calls[which].call() >= 0 ? 1 : errno == EINTR ? 2 : 3);
}

static char state_of(pid_t pid)
{
	char path[32], line[256] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file || !fgets(line, sizeof(line), file))
		exit(8);
	fclose(file);
	return strrchr(line, ')')[2];
}

static pid_t start(size_t which)
{
	pid_t pid = fork();

	if (pid == 0)
		child(which);
	/* It sleeps nowhere but in its call. */
	while (state_of(pid) != 'S')
		usleep(1000);
	if (kill(pid, SIGSTOP) || waitpid(pid, NULL, WUNTRACED) != pid || kill(pid, SIGUSR1))
		exit(7);
	return pid;
}

int main(int argc, char **argv)
{
	static const char *const ends[] = { "none", "again", "EINTR", "error" };
	pid_t pids[CALLS];
	sigset_t term;
	FILE *result;
	size_t i;
	int signal;

	if (argc != 2 || pipe(input) || pipe(handled))
		return 6;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	for (i = 0; i < CALLS; i++)
		pids[i] = start(i);
	result = fopen(argv[1], "w");
	fprintf(result, "READY %d\n", getpid());
	fflush(result);
	sigwait(&term, &signal);
	for (i = 0; i < CALLS; i++) {
		char byte;
		int status;

		kill(pids[i], SIGCONT);
		if (read(handled[0], &byte, 1) != 1 || write(input[1], "x", 1) != 1)
			return 5;
		waitpid(pids[i], &status, 0);
		fprintf(result, "%s%s %s", i ? ", " : "", calls[i].name,
			WIFEXITED(status) ? ends[WEXITSTATUS(status) & 3] : "killed");
		/* What the call has not taken, the next one must not find. */
		if (calls[i].call != read_byte || WEXITSTATUS(status) != 1)
			if (read(input[0], &byte, 1) != 1)
				return 4;
	}
	fprintf(result, "\n");
	return fclose(result) != 0;
}
