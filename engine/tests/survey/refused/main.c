/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A process, or a few, with one thing that cannot be dumped: the first argument says which, the second is a new file. */
#include "lib.h"

#include <sys/wait.h>

const char *path;
pid_t root;
static int ready[2];

void stay(void)
{
	/* Only the first of several is waited for. */
	if (write(ready[1], &root, sizeof(root)) != sizeof(root) && errno != EPIPE)
		err(1, "write");
	for (;;)
		pause();
}

int new_file(void)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);

	need(fd >= 0);
	return fd;
}

void outside(void (*act)(void))
{
	int done[2];
	char byte;
	pid_t child;

	need(pipe(done) == 0);
	child = fork();
	need(child >= 0);
	if (child == 0) {
		/* The grandchild is adopted by somebody outside, but stays in the group that is killed at the end. */
		if (fork() == 0) {
			act();
			need(write(done[1], "", 1) == 1);
			for (;;)
				pause();
		}
		_exit(0);
	}
	close(done[1]);
	need(waitpid(child, NULL, 0) == child);
	need(read(done[0], &byte, 1) == 1);
	close(done[0]);
}

static void prepare(const char *name)
{
	const struct thing *families[] = { task_things, memory_things, file_things, socket_things };

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		for (const struct thing *thing = families[i]; thing->name; thing++)
			if (!strcmp(thing->name, name)) {
				thing->prepare();
				if (!thing->by_other)
					stay();
				for (;;)
					pause();
			}
	errx(1, "unknown: %s", name);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	path = argv[2];
	root = getpid();
	if (setsid() < 0 || pipe(ready) || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		err(1, "setsid");
	/* The reader of the other end is told when the process is as it should be. */
	if (fork() == 0) {
		close(ready[1]);
		if (read(ready[0], &root, sizeof(root)) == sizeof(root))
			dprintf(STDOUT_FILENO, "ready %d\n", root);
		_exit(0);
	}
	close(ready[0]);
	prepare(argv[1]);
	return 0;
}
