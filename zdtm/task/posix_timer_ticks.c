/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Two fast timers: one is caught, the other's signal is pending, and comes again and again when it is taken. */
#include "zdtm.h"

#include <time.h>

static volatile unsigned int ticks;

static void on_tick(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	if (info->si_code == SI_TIMER && info->si_value.sival_int == 5)
		ticks++;
}

static timer_t start(int signal, int value)
{
	const struct itimerspec pace = { .it_value.tv_nsec = 5000000, .it_interval.tv_nsec = 5000000 };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal };
	timer_t timer;

	event.sigev_value.sival_int = value;
	check(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "timer_create");
	check(timer_settime(timer, 0, &pace, NULL) == 0, "timer_settime");
	return timer;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = on_tick, .sa_flags = SA_RESTART | SA_SIGINFO };
	unsigned int before;
	siginfo_t info;
	sigset_t set;

	test_init(argc, argv);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 4);
	check(sigprocmask(SIG_BLOCK, &set, NULL) == 0, "sigprocmask");
	check(sigaction(SIGRTMIN + 3, &action, NULL) == 0, "sigaction");
	start(SIGRTMIN + 3, 5);
	start(SIGRTMIN + 4, 6);
	while (ticks < 10)
		pause();
	test_daemon();
	test_waitsig();
	before = ticks;
	while (ticks < before + 5)
		pause();
	for (int i = 0; i < 3; i++) {
		while (sigwaitinfo(&set, &info) < 0)
			check(errno == EINTR, "sigwaitinfo");
		check(info.si_code == SI_TIMER && info.si_value.sival_int == 6, "code %d, value %d", info.si_code,
		      info.si_value.sival_int);
	}
	return pass();
}
