/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A tree of processes that knows its own shape: tree RESULT [PROCESSES [THREADS]], 200 and 100 by default.
 *
 * The root has nine branches, each a session or a process group of its own; a branch has leaves, which are by turns
 * plain, a process group, stopped, a zombie that exited, a zombie that was killed, and, once in every third branch,
 * a task of many threads. When all stand, the root writes "READY PID" to the file RESULT.
 *
 * On SIGTERM to the root everybody checks itself (pid, parent, process group, session, threads), and each parent its
 * children (state, group and session in /proc, how zombies ended). RESULT gets "FAIL PID: REASON" lines, or "PASS".
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BRANCHES 9
#define MOST_CHILDREN 1000
#define KILLED_BY SIGUSR1

enum kind { PLAIN, GROUP, STOPPED, EXITED, KILLED, THREADED, BRANCH };

struct child {
	enum kind kind;
	pid_t pid, group, session;
	char state; /* as in /proc/PID/stat */
	int exit_code;
};

/* What a process must find unchanged about itself. */
struct identity {
	pid_t pid, parent, group, session;
	int threads;
};

static const char *result;
static int *standing; /* processes that are ready, in memory that all share */
static int thread_count = 100;
static int process_count = 200;
static bool failed;

static void report(const char *format, ...)
{
	char line[256];
	va_list arguments;
	int fd, length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	fd = open(result, O_WRONLY | O_CREAT | O_APPEND, 0666);
	if (fd < 0 || write(fd, line, length) != length)
		_exit(3);
	close(fd);
}

#define expect(condition, format, ...)                                        \
	do {                                                                  \
		if (!(condition)) {                                           \
			failed = true;                                        \
			report("FAIL %d: " format "\n", getpid(), __VA_ARGS__); \
		}                                                             \
	} while (0)

static void need(bool success, const char *what)
{
	if (success)
		return;
	report("FAIL %d: %s: %s\n", getpid(), what, strerror(errno));
	_exit(2);
}

static int count_threads(void)
{
	DIR *directory = opendir("/proc/self/task");
	struct dirent *entry;
	int count = 0;

	need(directory, "open /proc/self/task");
	while ((entry = readdir(directory)))
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

static struct identity identify(void)
{
	return (struct identity){ getpid(), getppid(), getpgrp(), getsid(0), count_threads() };
}

static void check_identity(const struct identity *before)
{
	struct identity now = identify();

	expect(now.pid == before->pid, "the pid was %d", before->pid);
	expect(now.parent == before->parent, "the parent is %d, was %d", now.parent, before->parent);
	expect(now.group == before->group, "the process group is %d, was %d", now.group, before->group);
	expect(now.session == before->session, "the session is %d, was %d", now.session, before->session);
	expect(now.threads == before->threads, "there are %d threads, were %d", now.threads, before->threads);
}

/* SIGTERM is blocked everywhere, so that it waits for whoever is not yet here. */
static void wait_for_sigterm(void)
{
	sigset_t set;
	int number;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	while (sigwait(&set, &number))
		;
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int threads_started;
static bool threads_may_end;
static __thread long own_number;

/* Returns its argument if its thread-local memory and its id are still its own. */
static void *thread(void *argument)
{
	pid_t tid = gettid();

	own_number = (long)argument;
	pthread_mutex_lock(&lock);
	threads_started++;
	pthread_cond_broadcast(&changed);
	while (!threads_may_end)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	return gettid() == tid && own_number == (long)argument ? argument : NULL;
}

static void start_threads(pthread_t *threads, int count)
{
	pthread_attr_t attributes;

	need(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, 128 * 1024) == 0,
	     "attributes");
	for (long i = 0; i < count; i++)
		need(pthread_create(&threads[i], &attributes, thread, (void *)(i + 1)) == 0, "pthread_create");
	pthread_attr_destroy(&attributes);
	pthread_mutex_lock(&lock);
	while (threads_started < count)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static void end_threads(const pthread_t *threads, int count)
{
	void *value;

	pthread_mutex_lock(&lock);
	threads_may_end = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	for (long i = 0; i < count; i++)
		expect(pthread_join(threads[i], &value) == 0 && value == (void *)(i + 1), "thread %ld is another one",
		       i);
}

/* ---- leaves ----------------------------------------------------------------------------------------------------- */

static void stand(void)
{
	__atomic_add_fetch(standing, 1, __ATOMIC_SEQ_CST);
}

static int leaf(const struct child *self)
{
	int threads = self->kind == THREADED ? thread_count - 1 : 0;
	pthread_t ids[threads + 1];
	struct identity identity;

	if (self->kind == GROUP || self->kind == KILLED)
		need(setpgid(0, 0) == 0, "setpgid");
	start_threads(ids, threads);
	identity = identify();
	stand();
	if (self->kind == EXITED)
		return self->exit_code;
	if (self->kind == KILLED || self->kind == STOPPED)
		raise(self->kind == KILLED ? KILLED_BY : SIGSTOP);
	wait_for_sigterm();
	check_identity(&identity);
	end_threads(ids, threads);
	return failed;
}

/* ---- parents ---------------------------------------------------------------------------------------------------- */

static void read_stat(pid_t pid, char *state, pid_t *group, pid_t *session)
{
	char path[64], text[512] = "", *end;
	int fd;

	*state = '-';
	*group = *session = -1;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) > 0 && (end = strrchr(text, ')')))
		sscanf(end + 1, " %c %*d %d %d", state, group, session);
	close(fd);
}

/* Waits until the child is in the state it was made for; it never leaves it by itself. */
static void settle(struct child *child)
{
	char wanted = child->kind == STOPPED ? 'T' : child->kind == EXITED || child->kind == KILLED ? 'Z' : 'S';

	for (;;) {
		read_stat(child->pid, &child->state, &child->group, &child->session);
		if (child->state == wanted)
			return;
		need(child->state != '-' && child->state != 'Z', "a child died early");
		usleep(1000);
	}
}

static void check_child(const struct child *child)
{
	pid_t group, session;
	char state;
	int status, expected = 0;

	read_stat(child->pid, &state, &group, &session);
	expect(state == child->state, "child %d is in state %c, was %c", child->pid, state, child->state);
	expect(group == child->group && session == child->session, "child %d is in group %d, session %d, was in %d, %d",
	       child->pid, group, session, child->group, child->session);
	if (child->kind == EXITED)
		expected = W_EXITCODE(child->exit_code, 0);
	else if (child->kind == KILLED)
		expected = KILLED_BY;
	else
		kill(child->pid, SIGTERM);
	if (child->kind == STOPPED)
		kill(child->pid, SIGCONT);
	expect(waitpid(child->pid, &status, 0) == child->pid, "child %d cannot be waited for", child->pid);
	expect(status == expected, "child %d ended with status %#x, expected %#x", child->pid, status, expected);
}

static void check_children(const struct child *children, int count)
{
	for (int i = 0; i < count; i++)
		check_child(&children[i]);
	expect(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "%s", "there is a child too many");
}

static void fork_leaves(struct child *children, int count, bool threaded)
{
	for (int i = 0; i < count; i++) {
		children[i].kind = threaded && i == 0 ? THREADED : i % 5;
		children[i].exit_code = 10 + i % 100;
		children[i].pid = fork();
		need(children[i].pid >= 0, "fork");
		if (children[i].pid == 0)
			exit(leaf(&children[i]));
	}
	for (int i = 0; i < count; i++)
		settle(&children[i]);
}

static int branch(int number, int leaves)
{
	static struct child children[MOST_CHILDREN];
	struct identity identity;

	need(number % 2 ? setpgid(0, 0) == 0 : setsid() == getpid(), "leave the parent's process group");
	fork_leaves(children, leaves, number % 3 == 0);
	identity = identify();
	stand();
	wait_for_sigterm();
	check_identity(&identity);
	check_children(children, leaves);
	return failed;
}

static void parse_arguments(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: %s RESULT [PROCESSES [THREADS]]\n", argv[0]);
		exit(2);
	}
	result = argv[1];
	if (argc > 2)
		process_count = atoi(argv[2]);
	if (argc > 3)
		thread_count = atoi(argv[3]);
	if (process_count < 2 * BRANCHES + 1 || process_count > BRANCHES * MOST_CHILDREN || thread_count < 1) {
		fprintf(stderr, "%s: PROCESSES from %d to %d, THREADS from 1\n", argv[0], 2 * BRANCHES + 1,
			BRANCHES * MOST_CHILDREN);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct child branches[BRANCHES] = { 0 };
	struct identity identity;
	sigset_t set;
	int leaves;

	parse_arguments(argc, argv);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	need(sigprocmask(SIG_BLOCK, &set, NULL) == 0, "sigprocmask");
	standing = mmap(NULL, sizeof(*standing), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	need(standing != MAP_FAILED, "mmap");
	leaves = process_count - 1 - BRANCHES;
	for (int i = 0; i < BRANCHES; i++) {
		branches[i] = (struct child){ .kind = BRANCH, .pid = fork() };
		need(branches[i].pid >= 0, "fork");
		if (branches[i].pid == 0)
			exit(branch(i, leaves / BRANCHES + (i < leaves % BRANCHES)));
	}
	while (__atomic_load_n(standing, __ATOMIC_SEQ_CST) < process_count - 1)
		usleep(1000);
	for (int i = 0; i < BRANCHES; i++)
		settle(&branches[i]);
	identity = identify();
	report("READY %d\n", getpid());

	wait_for_sigterm();
	check_identity(&identity);
	check_children(branches, BRANCHES);
	if (!failed)
		report("PASS\n");
	return failed;
}
