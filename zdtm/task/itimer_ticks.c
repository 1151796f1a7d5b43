/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A timer of 5 ms is caught about as often as before, at a regular pace. */
#include "zdtm.h"

#include <sys/time.h>

static volatile unsigned int ticks;

static void on_alarm(int signal)
{
	(void)signal;
	ticks++;
}

int main(int argc, char **argv)
{
	const struct itimerval pace = { .it_value = { 0, 5000 }, .it_interval = { 0, 5000 } };
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	unsigned int before;

	test_init(argc, argv);
	check(sigaction(SIGALRM, &action, NULL) == 0, "sigaction");
	check(setitimer(ITIMER_REAL, &pace, NULL) == 0, "setitimer");
	while (ticks < 3)
		pause();
	test_daemon();
	test_waitsig();
	before = ticks;
	check(before >= 3, "only %u ticks are left of those before", before);
	/* A timer that is lost leaves the test here until the harness loses patience. */
	while (ticks < before + 5)
		pause();
	return pass();
}
