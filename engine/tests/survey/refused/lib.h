/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* One thing that cannot be dumped, and how a process comes to have it. */
#ifndef REFUSED_H
#define REFUSED_H

#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct thing {
	const char *name;
	/* Returns when the process has it. */
	void (*prepare)(void);
	/* Somebody else than the main thread says that all is prepared, by stay(). */
	int by_other;
};

/* A path at which nothing is yet. */
extern const char *path;
/* The tree that is to be dumped: the process itself, or a child of it. */
extern pid_t root;

/* Says that all is prepared, and stays. */
void stay(void);
/* A new file at the path, open for reading and writing. */
int new_file(void);
/* A process that is not of the tree runs with what the caller has, does this and stays; returns when it is done. */
void outside(void (*act)(void));
/* Ends the program unless the condition holds. */
#define need(condition)                                       \
	do {                                                  \
		if (!(condition))                             \
			err(1, "%d: %s", __LINE__, #condition); \
	} while (0)

/* The same for the result of a call that a kernel or a machine may not have: says so. */
#define have(result)                                                                    \
	do {                                                                            \
		if ((result) >= 0)                                                      \
			break;                                                          \
		if (errno == ENOSYS || errno == ENOENT || errno == EOPNOTSUPP) {        \
			printf("lacks %s: %s\n", #result, strerror(errno));             \
			exit(0);                                                        \
		}                                                                       \
		err(1, "%d: %s", __LINE__, #result);                                    \
	} while (0)

extern const struct thing task_things[], memory_things[], file_things[], socket_things[];

#endif
