/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A program whose file is deleted while it runs: /proc/PID/exe says so and still leads to the same bytes (proc(5)). */
#include "zdtm.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

static void copy(const char *from, const char *to)
{
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT, 0700);
	struct stat status;

	check(in >= 0 && out >= 0 && fstat(in, &status) == 0, "open %s", from);
	while (sendfile(out, in, NULL, status.st_size) > 0)
		;
	close(in);
	close(out);
}

/* What the copy does: the closing of its end of the pipe tells that it has started. */
static _Noreturn void run_as_copy(const char *end)
{
	close(atoi(end));
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	char link[64], target[PATH_MAX], expected[PATH_MAX + 16], magic[4], end[16];
	struct stat before, after;
	ssize_t length;
	pid_t pid;
	int gate[2], fd;

	if (argc == 2 && !strcmp(argv[0], "copy"))
		run_as_copy(argv[1]);
	test_init(argc, argv);
	copy("/proc/self/exe", test_filename);
	check(pipe(gate) == 0 && (pid = fork()) >= 0, "fork");
	if (pid == 0) {
		close(gate[0]);
		snprintf(end, sizeof(end), "%d", gate[1]);
		execl(test_filename, "copy", end, NULL);
		_exit(1);
	}
	check(close(gate[1]) == 0 && read(gate[0], magic, 1) == 0 && close(gate[0]) == 0, "wait for the copy");
	snprintf(link, sizeof(link), "/proc/%d/exe", pid);
	check(stat(link, &before) == 0 && unlink(test_filename) == 0, "unlink %s", test_filename);

	test_daemon();
	test_waitsig();

	length = readlink(link, target, sizeof(target) - 1);
	check(length > 0, "readlink %s", link);
	target[length] = '\0';
	snprintf(expected, sizeof(expected), "%s (deleted)", test_filename);
	check(!strcmp(target, expected), "the program is %s", target);
	check(stat(link, &after) == 0 && after.st_size == before.st_size && after.st_nlink == 0, "stat %s", link);
	fd = open(link, O_RDONLY);
	check(fd >= 0 && read(fd, magic, 4) == 4 && !memcmp(magic, "\177ELF", 4), "read %s", link);
	check(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid, "the program does not run any more");
	return pass();
}
