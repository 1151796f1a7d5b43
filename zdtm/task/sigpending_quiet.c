/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Blocked signals stay pending for process and thread, also those without effect where nobody blocks them. */
#include "zdtm.h"

#include <pthread.h>

static const int quiet[] = { SIGURG, SIGWINCH, SIGCHLD };

enum { QUIET = sizeof(quiet) / sizeof(*quiet) };

static pthread_barrier_t raised, restored;
static sigset_t set;

/* What is pending for the thread itself comes before what is pending for the process. */
static void take(const char *whose)
{
	const struct timespec now = { 0 };
	siginfo_t info;

	for (int i = 0; i < QUIET; i++) {
		sigset_t one;

		sigemptyset(&one);
		sigaddset(&one, quiet[i]);
		check(sigtimedwait(&one, &info, &now) == quiet[i], "signal %d of the %s is not pending", quiet[i], whose);
		check(info.si_pid == getpid(), "signal %d of the %s is from %d", quiet[i], whose, info.si_pid);
	}
}

static void *thread(void *arg)
{
	for (int i = 0; i < QUIET; i++)
		check(syscall(SYS_tgkill, getpid(), gettid(), quiet[i]) == 0, "tgkill");
	pthread_barrier_wait(&raised);
	pthread_barrier_wait(&restored);
	take("thread");
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t other;

	test_init(argc, argv);
	sigemptyset(&set);
	for (int i = 0; i < QUIET; i++)
		sigaddset(&set, quiet[i]);
	check(sigprocmask(SIG_BLOCK, &set, NULL) == 0, "sigprocmask");
	pthread_barrier_init(&raised, NULL, 2);
	pthread_barrier_init(&restored, NULL, 2);
	check(pthread_create(&other, NULL, thread, NULL) == 0, "pthread_create");
	pthread_barrier_wait(&raised);
	for (int i = 0; i < QUIET; i++)
		check(kill(getpid(), quiet[i]) == 0, "kill");
	test_daemon();
	test_waitsig();
	pthread_barrier_wait(&restored);
	check(pthread_join(other, NULL) == 0, "pthread_join");
	take("process");
	return pass();
}
