/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The life of a test program: options, readiness, the end, the log.
 *
 * The process that the harness started (the launcher) forks the test and waits on a pipe. test_daemon() writes one
 * byte to it and closes it, so that nothing of the harness is left in the state that will be dumped. The launcher
 * then writes the pidfile and exits; the test lives on as a session of its own.
 */
#include "zdtm.h"

#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <linux/futex.h>
#include <grp.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/prctl.h>

const char *test_filename;
const char *test_dirname;

static char outfile[PATH_MAX], inprogress[PATH_MAX + 16], pidfile[PATH_MAX];
static pid_t test_pid;
static int ready_pipe = -1;
uint32_t test_terminated;

static void launcher_error(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

/* The test may change its directory before it ends, so all paths are made absolute at once. */
static void absolute(char *path, size_t size, const char *given, const char *suffix)
{
	char directory[PATH_MAX];
	int length;

	if (given[0] == '/')
		length = snprintf(path, size, "%s%s", given, suffix);
	else if (getcwd(directory, sizeof(directory)))
		length = snprintf(path, size, "%s/%s%s", directory, given, suffix);
	else
		launcher_error("getcwd");
	if (length < 0 || (size_t)length >= size) {
		errno = ENAMETOOLONG;
		launcher_error(given);
	}
}

/* Without the option, the path is the log's with another suffix than .out. */
static const char *scratch_path(const char *given, const char *suffix)
{
	char path[PATH_MAX];
	size_t length;

	if (given) {
		absolute(path, sizeof(path), given, "");
	} else {
		length = strlen(outfile);
		if (length > 4 && !strcmp(outfile + length - 4, ".out"))
			length -= 4;
		if (snprintf(path, sizeof(path), "%.*s%s", (int)length, outfile, suffix) >= (int)sizeof(path)) {
			errno = ENAMETOOLONG;
			launcher_error(outfile);
		}
	}
	return strdup(path);
}

/* For a test that is restored where there may be fewer: neither it nor anything that it executes can have any. */
static void give_up_capabilities(void)
{
	/* linux/capability.h, version 3 */
	uint32_t header[2] = { 0x20080522, 0 }, none[6] = { 0 };
	int capability = 0;

	while (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0)
		capability++;
	/* EINVAL: the kernel has no more of them. */
	if (errno != EINVAL || syscall(SYS_capset, header, none))
		launcher_error("cannot give up capabilities");
}

static void parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "pidfile", required_argument, NULL, 'p' },  { "outfile", required_argument, NULL, 'o' },
		{ "filename", required_argument, NULL, 'f' }, { "dirname", required_argument, NULL, 'd' },
		{ "powerless", no_argument, NULL, 'w' },      { NULL, 0, NULL, 0 },
	};
	const char *filename = NULL, *dirname = NULL, *out = NULL, *pid = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'p':
			pid = optarg;
			break;
		case 'o':
			out = optarg;
			break;
		case 'f':
			filename = optarg;
			break;
		case 'd':
			dirname = optarg;
			break;
		case 'w':
			give_up_capabilities();
			break;
		default:
			fprintf(stderr, "usage: %s [--pidfile FILE] [--outfile FILE] [--filename FILE] [--dirname DIR] "
				"[--powerless]\n", argv[0]);
			exit(2);
		}
	}
	absolute(outfile, sizeof(outfile), out ? out : program_invocation_short_name, out ? "" : ".out");
	snprintf(inprogress, sizeof(inprogress), "%s.inprogress", outfile);
	absolute(pidfile, sizeof(pidfile), pid ? pid : program_invocation_short_name, pid ? "" : ".pid");
	test_filename = scratch_path(filename, ".test");
	test_dirname = scratch_path(dirname, ".dir");
}

/* The reader of the pidfile must never see half a number. */
static void write_pidfile(pid_t pid)
{
	char text[16], temporary[PATH_MAX + 16];

	snprintf(text, sizeof(text), "%d", pid);
	snprintf(temporary, sizeof(temporary), "%s.new", pidfile);
	if (write_text(temporary, text) || rename(temporary, pidfile))
		launcher_error(pidfile);
}

static void launcher(pid_t child, int ready)
{
	int status;
	char byte;

	if (read(ready, &byte, 1) == 1) {
		/* The end of file comes when no task of the test holds the pipe any more. */
		while (read(ready, &byte, 1) > 0)
			;
		write_pidfile(child);
		_exit(0);
	}
	if (waitpid(child, &status, 0) == child)
		fprintf(stderr, "%s: ended before it was ready, wait status %#x, see %s\n", program_invocation_short_name,
			status, outfile);
	_exit(1);
}

static void on_sigterm(int signal)
{
	int saved = errno;

	(void)signal;
	__atomic_store_n(&test_terminated, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &test_terminated, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	errno = saved;
}

/* Children of the test must not hold the pipe: it would be part of their dump. */
static void close_ready_pipe(void)
{
	if (ready_pipe >= 0)
		close(ready_pipe);
	ready_pipe = -1;
}

static void publish_log(void)
{
	if (getpid() == test_pid)
		rename(inprogress, outfile);
}

static void open_log(void)
{
	int null, log;

	null = open("/dev/null", O_RDONLY);
	log = open(inprogress, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0666);
	if (null < 0 || log < 0)
		launcher_error(inprogress);
	if (dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
		launcher_error("dup2");
	if (null > 2)
		close(null);
	if (log > 2)
		close(log);
}

/* Upstream's runner names the user of a test that does not need root in ZDTM_UID and ZDTM_GID. */
static void become_user(void)
{
	const char *uid = getenv("ZDTM_UID"), *gid = getenv("ZDTM_GID");

	if (!uid || !gid || geteuid() != 0)
		return;
	check(setgroups(0, NULL) == 0, "setgroups");
	check(setgid(atoi(gid)) == 0, "setgid %s", gid);
	check(setuid(atoi(uid)) == 0, "setuid %s", uid);
	check(prctl(PR_SET_DUMPABLE, 1) == 0, "PR_SET_DUMPABLE");
}

void test_init(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_sigterm };
	int ready[2];
	pid_t child;

	parse_options(argc, argv);
	if (pipe2(ready, O_CLOEXEC))
		launcher_error("pipe");
	child = fork();
	if (child < 0)
		launcher_error("fork");
	if (child > 0) {
		close(ready[1]);
		launcher(child, ready[0]);
	}
	close(ready[0]);
	test_pid = getpid();
	open_log();
	/* What the caller leaked is none of the test's state. */
	check(dup2(ready[1], 3) == 3 && close_range(4, ~0u, 0) == 0, "close inherited descriptors");
	/* Out of the way of the low descriptors, which tests want to see numbered from 3. */
	ready_pipe = fcntl(3, F_DUPFD_CLOEXEC, 200);
	close(3);
	check(ready_pipe >= 0, "cannot move the pipe to the launcher");
	check(setsid() == test_pid, "setsid");
	check(sigemptyset(&action.sa_mask) == 0 && sigprocmask(SIG_SETMASK, &action.sa_mask, NULL) == 0, "sigprocmask");
	check(pthread_atfork(NULL, NULL, close_ready_pipe) == 0, "pthread_atfork");
	check(sigaction(SIGTERM, &action, NULL) == 0, "sigaction SIGTERM");
	check(atexit(publish_log) == 0, "atexit");
	become_user();
	errno = 0;
}

void test_daemon(void)
{
	check(write(ready_pipe, "r", 1) == 1, "cannot tell the launcher that the test is ready");
	close_ready_pipe();
}

void test_waitsig(void)
{
	while (test_go())
		syscall(SYS_futex, &test_terminated, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	errno = 0;
}

bool test_go(void)
{
	return !__atomic_load_n(&test_terminated, __ATOMIC_SEQ_CST);
}

static void log_line(const char *prefix, const char *file, int line, int error, const char *format, va_list arguments)
{
	char text[1024], *name = strrchr(file, '/');
	int length;

	length = snprintf(text, sizeof(text), "%s%s:%d: ", prefix, name ? name + 1 : file, line);
	length += vsnprintf(text + length, sizeof(text) - length, format, arguments);
	if (error && length < (int)sizeof(text))
		length += snprintf(text + length, sizeof(text) - length, " (errno = %d (%s))", error, strerror(error));
	if (length > (int)sizeof(text) - 2)
		length = sizeof(text) - 2;
	text[length++] = '\n';
	if (write(2, text, length) != length)
		_exit(3);
}

void test_log(const char *file, int line, int error, const char *format, ...)
{
	int saved = errno;
	va_list arguments;

	va_start(arguments, format);
	log_line("", file, line, error, format, arguments);
	va_end(arguments);
	errno = saved;
}

int test_fail(const char *file, int line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_line("FAIL: ", file, line, errno, format, arguments);
	va_end(arguments);
	return 1;
}

int pass(void)
{
	/* Only the test itself speaks for the whole; a child that passes says so by its exit code. */
	if (getpid() == test_pid && write(2, "PASS\n", 5) != 5)
		return 1;
	return 0;
}
