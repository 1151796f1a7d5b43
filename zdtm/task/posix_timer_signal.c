/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Armed and idle POSIX timers on several clocks, with a signal, with a value, and without a signal. */
#include "zdtm.h"

#include <time.h>

static const struct {
	clockid_t clock;
	int notify, left, interval;
} chosen[] = {
	{ CLOCK_MONOTONIC, SIGEV_SIGNAL, 4000, 11 }, { CLOCK_REALTIME, SIGEV_SIGNAL, 5000, 0 },
	{ CLOCK_MONOTONIC, SIGEV_NONE, 6000, 13 },   { CLOCK_BOOTTIME, SIGEV_SIGNAL, 0, 0 },
	{ CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, 900, 3 },
};

static void arm(timer_t timer, int left, int interval)
{
	const struct itimerspec value = { .it_value.tv_sec = left, .it_interval.tv_sec = interval };

	check(timer_settime(timer, 0, &value, NULL) == 0, "timer_settime");
}

static void verify(timer_t timer, size_t i)
{
	struct itimerspec now;

	check(timer_gettime(timer, &now) == 0, "timer %zu", i);
	check(now.it_interval.tv_sec == chosen[i].interval, "interval of timer %zu is %ld", i,
	      (long)now.it_interval.tv_sec);
	check(now.it_value.tv_sec <= chosen[i].left, "timer %zu went up to %ld", i, (long)now.it_value.tv_sec);
	check(chosen[i].left == 0 || now.it_value.tv_sec > chosen[i].left - 300, "timer %zu went down to %ld", i,
	      (long)now.it_value.tv_sec);
}

int main(int argc, char **argv)
{
	timer_t timers[ARRAY_SIZE(chosen)];
	struct sigevent event = { 0 };
	siginfo_t info;
	sigset_t set;

	test_init(argc, argv);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	check(sigprocmask(SIG_BLOCK, &set, NULL) == 0, "sigprocmask");
	for (size_t i = 0; i < ARRAY_SIZE(chosen); i++) {
		event.sigev_notify = chosen[i].notify;
		event.sigev_signo = SIGRTMIN + 3;
		event.sigev_value.sival_int = 1000 + i;
		check(timer_create(chosen[i].clock, &event, &timers[i]) == 0, "timer_create %zu", i);
		arm(timers[i], chosen[i].left, chosen[i].interval);
	}
	test_daemon();
	test_waitsig();
	for (size_t i = 0; i < ARRAY_SIZE(chosen); i++)
		verify(timers[i], i);
	/* The third has no signal; the others must still know theirs. */
	arm(timers[3], 0, 0);
	check(timer_settime(timers[3], 0, &(struct itimerspec){ .it_value.tv_nsec = 1 }, NULL) == 0, "timer_settime");
	check(sigwaitinfo(&set, &info) == SIGRTMIN + 3, "sigwaitinfo");
	check(info.si_code == SI_TIMER && info.si_value.sival_int == 1003, "code %d, value %d", info.si_code,
	      info.si_value.sival_int);
	return pass();
}
