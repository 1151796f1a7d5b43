/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Signals queued for the whole process come out in the same order with the same siginfo. */
#include "zdtm.h"

enum { QUEUED = 12 };

static int number_of(int i)
{
	return SIGRTMIN + 1 + i % 3;
}

static void queue(int i)
{
	const union sigval value = { .sival_ptr = (void *)((uintptr_t)0x1234500 + i) };

	check(sigqueue(getpid(), number_of(i), value) == 0, "sigqueue %d", i);
}

static void take(const sigset_t *set, int i)
{
	const struct timespec now = { 0 };
	siginfo_t info;

	check(sigtimedwait(set, &info, &now) == number_of(i), "no signal %d is pending", number_of(i));
	check(info.si_code == SI_QUEUE, "code of signal %d is %d", i, info.si_code);
	check(info.si_pid == getpid() && info.si_uid == getuid(), "signal %d is from %d", i, info.si_pid);
	check(info.si_value.sival_ptr == (void *)((uintptr_t)0x1234500 + i), "value of signal %d is %p", i,
	      info.si_value.sival_ptr);
}

int main(int argc, char **argv)
{
	const struct timespec now = { 0 };
	siginfo_t info;
	sigset_t set;

	test_init(argc, argv);
	sigfillset(&set);
	sigdelset(&set, SIGTERM);
	check(sigprocmask(SIG_BLOCK, &set, NULL) == 0, "sigprocmask");
	for (int i = 0; i < QUEUED; i++)
		queue(i);
	check(kill(getpid(), SIGUSR1) == 0, "kill");
	test_daemon();
	test_waitsig();
	check(sigtimedwait(&set, &info, &now) == SIGUSR1, "SIGUSR1 is not pending");
	check(info.si_code == SI_USER && info.si_pid == getpid(), "SIGUSR1 has code %d", info.si_code);
	/* Lower numbers first, and each number in the order of its queue. */
	for (int first = 0; first < 3; first++)
		for (int i = first; i < QUEUED; i += 3)
			take(&set, i);
	check(sigtimedwait(&set, &info, &now) == -1 && errno == EAGAIN, "signal %d is pending, too", info.si_signo);
	return pass();
}
