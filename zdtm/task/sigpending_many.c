/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Thousands of signals wait for a process and for a thread: all are there, in their order. */
#include "zdtm.h"

#include <sys/resource.h>

/* To a thread, or to the process. */
static void queue(pid_t tid, int signal, int count)
{
	siginfo_t info = { .si_signo = signal, .si_code = SI_QUEUE };
	long result;

	for (int i = 0; i < count; i++) {
		info.si_value.sival_int = i;
		if (tid)
			result = syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, signal, &info);
		else
			result = syscall(SYS_rt_sigqueueinfo, getpid(), signal, &info);
		check(result == 0, "signal %d", i);
	}
}

static void take(int signal, int count)
{
	const struct timespec now = { 0 };
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	for (int i = 0; i < count; i++)
		check(sigtimedwait(&set, &info, &now) == signal && info.si_value.sival_int == i, "signal %d", i);
	check(sigtimedwait(&set, &info, &now) == -1 && errno == EAGAIN, "one signal too many");
}

int main(int argc, char **argv)
{
	const int signals[] = { SIGRTMIN, SIGRTMIN + 1 };
	int counts[] = { 10000, 7000 };
	struct rlimit limit;
	sigset_t set;

	test_init(argc, argv);
	/* A small machine allows fewer, and others of this user may have some. */
	check(getrlimit(RLIMIT_SIGPENDING, &limit) == 0, "getrlimit");
	while ((rlim_t)(counts[0] + counts[1]) > limit.rlim_cur / 2)
		for (int i = 0; i < 2; i++)
			counts[i] /= 2;
	sigemptyset(&set);
	for (int i = 0; i < 2; i++)
		sigaddset(&set, signals[i]);
	check(sigprocmask(SIG_BLOCK, &set, NULL) == 0, "sigprocmask");
	queue(0, signals[0], counts[0]);
	queue(getpid(), signals[1], counts[1]);
	test_daemon();
	test_waitsig();
	for (int i = 0; i < 2; i++)
		take(signals[i], counts[i]);
	return pass();
}
