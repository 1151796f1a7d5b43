/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A timer on the CPU time of a process that has ended can never be set again; the timers beside it can. */
#include "zdtm.h"

#include <time.h>

static int child(void *unused)
{
	(void)unused;
	while (test_go())
		pause();
	return 0;
}

int main(int argc, char **argv)
{
	const struct itimerspec value = { .it_value.tv_sec = 3600 };
	struct sigevent event = { .sigev_notify = SIGEV_NONE };
	timer_t timer, beside;
	clockid_t clock;
	pid_t pid;

	test_init(argc, argv);
	pid = test_fork(child, NULL);
	check(clock_getcpuclockid(pid, &clock) == 0, "clock_getcpuclockid");
	check(timer_create(clock, &event, &timer) == 0, "timer_create");
	check(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &beside) == 0, "timer_create");
	check(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid, "waitpid");
	check(timer_settime(timer, 0, &value, NULL) == -1, "the clock of a dead process can be used");
	test_daemon();
	test_waitsig();
	check(timer_settime(timer, 0, &value, NULL) == -1, "the timer has got another clock");
	check(timer_settime(beside, 0, &value, NULL) == 0, "the timer beside it is gone");
	return pass();
}
