/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A process, or a few, with one thing that cannot be dumped: the first argument says which, the second is a new file. */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *what, *path;
static int ready[2];

static int is(const char *name)
{
	return strcmp(what, name) == 0;
}

/* Says that all is prepared, and stays. */
static void stay(void)
{
	/* Only the first of several is waited for. */
	if (write(ready[1], "", 1) != 1 && errno != EPIPE)
		err(1, "write");
	for (;;)
		pause();
}

static int stay_in_clone(void *unused)
{
	(void)unused;
	stay();
	return 0;
}

static void *other_thread(void *unused)
{
	if (is("thread's table") && unshare(CLONE_FILES))
		err(1, "unshare");
	/* The leader has ended by then. */
	if (is("leader ended"))
		sleep(1);
	stay();
	return unused;
}

static void share(int flags)
{
	char *stack = malloc(65536);

	if (!stack || clone(stay_in_clone, stack + 65536, flags | SIGCHLD, NULL) < 0)
		err(1, "clone");
}

/* A listening socket, with a connection that waits there. */
static int connect_to_oneself(void)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(name);
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(listener, (void *)&name, len) || listen(listener, 5) || getsockname(listener, (void *)&name, &len))
		err(1, "listen");
	if (connect(client, (void *)&name, len))
		err(1, "connect");
	return listener;
}

static void prepare(void)
{
	struct sock_filter allow = { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW };
	struct sock_fprog filter = { 1, &allow };
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	pthread_t thread;
	char other[4096];
	pid_t pid;

	if (fd < 0)
		err(1, "open %s", path);
	if (is("shared memory")) {
		share(CLONE_VM);
	} else if (is("pending vfork")) {
		if (vfork() == 0)
			stay();
	} else if (is("siblings' table")) {
		/* The first sibling leaves the table of its parent, the second shares with the first alone. */
		if (fork() == 0) {
			share(CLONE_FILES | CLONE_PARENT);
			stay();
		}
	} else if (is("thread's table") || is("leader ended")) {
		if (pthread_create(&thread, NULL, other_thread, NULL))
			errx(1, "pthread_create");
		if (is("leader ended"))
			pthread_exit(NULL);
	} else if (is("seccomp")) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
			err(1, "seccomp");
		stay();
	} else if (is("traced")) {
		pid = fork();
		if (pid == 0)
			stay();
		if (ptrace(PTRACE_SEIZE, pid, 0, 0))
			err(1, "ptrace");
	} else if (is("large ghost")) {
		if (unlink(path) || ftruncate(fd, 4 << 20) || posix_fallocate(fd, 0, 4 << 20))
			err(1, "unlink");
		stay();
	} else if (is("mapped large ghost")) {
		if (posix_fallocate(fd, 0, 4 << 20) || mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED)
			err(1, "mmap");
		if (close(fd) || unlink(path))
			err(1, "unlink");
		stay();
	} else if (is("unlinked")) {
		snprintf(other, sizeof(other), "%s.other", path);
		if (link(path, other) || unlink(path))
			err(1, "link");
		stay();
	} else if (is("lease")) {
		if (close(fd) || (fd = open(path, O_RDONLY)) < 0 || fcntl(fd, F_SETLEASE, F_RDLCK))
			err(1, "lease");
		stay();
	} else if (is("tcp connection")) {
		fd = connect_to_oneself();
		if (accept(fd, NULL, NULL) < 0)
			err(1, "accept");
		stay();
	} else if (is("tcp pending")) {
		connect_to_oneself();
		stay();
	} else {
		errx(1, "unknown: %s", what);
	}
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	char byte;

	if (argc != 3)
		return 2;
	what = argv[1];
	path = argv[2];
	if (setsid() < 0 || pipe(ready) || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		err(1, "setsid");
	/* The reader of the other end is told when the process is as it should be. */
	if (fork() == 0) {
		close(ready[1]);
		if (read(ready[0], &byte, 1) == 1)
			dprintf(STDOUT_FILENO, "ready\n");
		_exit(0);
	}
	close(ready[0]);
	prepare();
	return 0;
}
