/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What every test program is written with.
 *
 * A test prepares one piece of kernel state, calls test_daemon(), waits in test_waitsig() while it is dumped and
 * restored behind its back, verifies the state, and ends in pass() or fail():
 *
 *	int main(int argc, char **argv)
 *	{
 *		test_init(argc, argv);
 *		... prepare, check(call() == 0, "call") ...
 *		test_daemon();
 *		test_waitsig();
 *		check(state == expected, "state is %d", state);
 *		return pass();
 *	}
 *
 * Options of every program (--name=value or --name value):
 *	--pidfile FILE		gets the test's pid as soon as the test is ready
 *	--outfile FILE		the log; it is called FILE.inprogress until the test has ended
 *	--filename FILE		a path that the test may create, see test_filename
 *	--dirname DIR		a directory that the test may create, see test_dirname
 *	--powerless		gives up all capabilities before anything else
 *
 * The program exits 0 when the test, now a session of its own, is ready, and non-zero if it never gets there. The
 * last line of the log is PASS, or FAIL: file:line: why. There is no third outcome: what a kernel must have for a
 * test to make sense is named in tests.yaml.
 */
#ifndef ZDTM_H
#define ZDTM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* ---- life of a test ------------------------------------------------------------------------------------------- */

/* Absolute paths from --filename and --dirname; without the options, X.test and X.dir beside the log X.out. Nothing
 * exists at either path when the test starts. */
extern const char *test_filename;
extern const char *test_dirname;

/* Parses the options, forks, and returns in the child: leader of a new session, stdin from /dev/null, stdout and
 * stderr in the log, SIGTERM ready to end test_waitsig(). */
void test_init(int argc, char **argv);

/* Says that the state to keep is there. From here on the test may be dumped at any instruction. */
void test_daemon(void);

/* Sleeps until this process gets SIGTERM, in whichever thread the signal arrives. */
void test_waitsig(void);

/* True until SIGTERM: for tests that work while they are dumped. */
bool test_go(void);

/* 0 until SIGTERM, then 1: for loops that may not call a function, see machine.h. */
extern uint32_t test_terminated;

/* Ends the log with PASS; returns 0, so that main() and task bodies can `return pass()`. */
int pass(void);

/* Ends the log with FAIL and the reason, with errno if it is set; returns 1. */
#define fail(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

/* Adds a line to the log. */
#define test_msg(...) test_log(__FILE__, __LINE__, 0, __VA_ARGS__)
/* Adds a line with errno's text to the log. */
#define pr_perror(...) test_log(__FILE__, __LINE__, errno, __VA_ARGS__)

/* Ends this process with fail() unless the condition holds. Before test_daemon() it guards the preparation, after
 * test_waitsig() it states a claim. It may be used in any thread and in children, whose parent then sees exit
 * code 1 (test_join() turns that into the parent's failure). */
#define check(condition, ...)                                                                                       \
	do {                                                                                                        \
		if (!(condition)) {                                                                                 \
			fail(__VA_ARGS__);                                                                          \
			exit(1);                                                                                    \
		}                                                                                                   \
	} while (0)

int test_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
void test_log(const char *file, int line, int error, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* ---- several tasks -------------------------------------------------------------------------------------------- */

/* A counter in shared memory on which processes and threads wait for each other. */
struct barrier {
	uint32_t count;
};

/* A new barrier at 0, shared with every child forked later. */
struct barrier *barrier_new(void);
/* Adds one and wakes the waiters. */
void barrier_post(struct barrier *barrier);
/* Waits until `count` posts have been made since barrier_new(). */
void barrier_wait(struct barrier *barrier, uint32_t count);

/* Forks a child that ends with exit code body(argument). The child has its own test_go() flag. */
pid_t test_fork(int (*body)(void *), void *argument);
/* Waits until a single-threaded process sleeps in a system call. */
void wait_asleep(pid_t pid);
/* Sends SIGTERM to a child, reaps it, and checks that it exited with 0. */
void test_join(pid_t child);

/* ---- contents -------------------------------------------------------------------------------------------------- */

/* Fills memory with bytes that depend on the seed and on the offset, so that a shifted or exchanged page shows. */
void pattern_fill(void *memory, size_t size, uint32_t seed);
/* True if the memory still holds what pattern_fill() wrote; logs the first difference otherwise. */
bool pattern_holds(const void *memory, size_t size, uint32_t seed);
/* True if every byte is zero. */
bool all_zero(const void *memory, size_t size);

/* Size of a page in bytes. */
size_t page_size(void);
/* Anonymous private read-write memory, in whole pages; fails the test when there is none. */
void *map_pages(size_t pages);
/* True if the byte cannot be read: SIGSEGV or SIGBUS. For one thread at a time. */
bool read_faults(const volatile char *address);

/* Allows the kernel to make that many more huge pages of hugetlbfs on demand, until this process exits; returns their
 * size in bytes. The limit is the whole machine's: such tests run one at a time. */
size_t huge_pages(size_t count);
/* Where `count` huge pages of that size may be mapped: at their own choice, Linux 7 on 32-bit ARM takes addresses that
 * huge pages cannot have, and dies of them. */
void *huge_place(size_t size, size_t count);
/* Bytes of huge pages that this process has in memory. */
size_t huge_resident(void);

/* ---- what /proc shows ------------------------------------------------------------------------------------------ */

/* Reads a whole small file (at most size - 1 bytes) and ends it with NUL; returns the length, or -1 and errno. */
ssize_t read_text(const char *path, char *text, size_t size);
/* Writes a small file in one write(2); returns 0, or -1 and errno. */
int write_text(const char *path, const char *text);

/* The value of `key` ("CapEff", "SigBlk", ...) in /proc/PATH, where PATH is "self/status", "thread-self/status",
 * "self/fdinfo/3" and so on, without surrounding blanks. Fails the test if the key is not there. */
void proc_field(const char *path, const char *key, char *value, size_t size);

/* One mapping of this process, from /proc/self/smaps. */
struct vma {
	uintptr_t start, end;
	uint64_t offset; /* of the file, in bytes */
	char perms[5]; /* "rw-p" */
	char flags[160]; /* VmFlags, with a blank before and after each: " rd wr mr " */
	char name[256]; /* path, "[heap]", "[anon:...]", or "" */
	size_t rss, shared_dirty, private_dirty, anonymous, locked, swap; /* in bytes */
};

/* Describes the mapping that contains the address; false if nothing is mapped there. */
bool find_vma(const void *address, struct vma *vma);
/* True if VmFlags has the two-letter flag. */
bool vma_has(const struct vma *vma, const char *flag);

#endif
