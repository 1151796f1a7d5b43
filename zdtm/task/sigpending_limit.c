/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* RLIMIT_SIGPENDING holds for what is sent from then on: more signals and timers may be there already. */
#include "zdtm.h"

#include <sys/resource.h>
#include <time.h>

enum { QUEUED = 5, TIMERS = 3 };

int main(int argc, char **argv)
{
	const struct rlimit few = { .rlim_cur = 1, .rlim_max = 1 };
	struct sigevent none = { .sigev_notify = SIGEV_NONE };
	const struct timespec now = { 0 };
	timer_t timers[TIMERS];
	struct itimerspec left;
	struct rlimit limit;
	siginfo_t info;
	sigset_t set;

	test_init(argc, argv);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	check(sigprocmask(SIG_BLOCK, &set, NULL) == 0, "sigprocmask");
	for (int i = 0; i < QUEUED; i++) {
		const union sigval value = { .sival_int = i };

		check(sigqueue(getpid(), SIGRTMIN, value) == 0, "sigqueue %d", i);
	}
	for (int i = 0; i < TIMERS; i++)
		check(timer_create(CLOCK_MONOTONIC, &none, &timers[i]) == 0, "timer_create %d", i);
	check(setrlimit(RLIMIT_SIGPENDING, &few) == 0, "setrlimit");
	test_daemon();
	test_waitsig();
	check(getrlimit(RLIMIT_SIGPENDING, &limit) == 0 && limit.rlim_cur == 1 && limit.rlim_max == 1,
	      "the limit is %llu", (unsigned long long)limit.rlim_cur);
	for (int i = 0; i < QUEUED; i++)
		check(sigtimedwait(&set, &info, &now) == SIGRTMIN && info.si_value.sival_int == i, "signal %d", i);
	check(sigtimedwait(&set, &info, &now) == -1 && errno == EAGAIN, "one signal too many");
	for (int i = 0; i < TIMERS; i++)
		check(timer_gettime(timers[i], &left) == 0, "timer %d is gone", i);
	return pass();
}
