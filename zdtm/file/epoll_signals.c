/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* epoll(7) over a signalfd(2) and a timerfd: a signal and an expiration from before, and those that come later. */
#include "zdtm.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>

static int epoll;

static uint32_t ready(int timeout)
{
	struct epoll_event event = { 0 };

	return epoll_wait(epoll, &event, 1, timeout) == 1 ? event.data.u32 : 0;
}

static void add(int fd, uint32_t data)
{
	check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ EPOLLIN, { .u32 = data } }) == 0, "epoll_ctl");
}

int main(int argc, char **argv)
{
	struct itimerspec soon = { .it_value = { .tv_nsec = 1 } };
	struct signalfd_siginfo info;
	int signals, timer;
	uint64_t ticks;
	sigset_t set;

	test_init(argc, argv);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	check(sigprocmask(SIG_BLOCK, &set, NULL) == 0, "sigprocmask");
	epoll = epoll_create1(0);
	signals = signalfd(-1, &set, 0);
	timer = timerfd_create(CLOCK_MONOTONIC, 0);
	check(epoll >= 0 && signals >= 0 && timer >= 0, "prepare");
	add(signals, 1);
	check(kill(getpid(), SIGUSR1) == 0, "kill");

	test_daemon();
	test_waitsig();

	check(ready(0) == 1, "the signal from before");
	check(read(signals, &info, sizeof(info)) == sizeof(info) && ready(0) == 0, "read");
	check(kill(getpid(), SIGUSR1) == 0 && ready(60000) == 1, "a signal that came later");
	check(read(signals, &info, sizeof(info)) == sizeof(info) && ready(0) == 0, "read");
	add(timer, 2);
	check(timerfd_settime(timer, 0, &soon, NULL) == 0 && ready(60000) == 2, "a timer that was added later");
	check(read(timer, &ticks, sizeof(ticks)) == sizeof(ticks) && ticks == 1, "read");
	return pass();
}
