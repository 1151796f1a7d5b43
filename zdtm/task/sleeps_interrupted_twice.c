/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Children that were stopped and continued in a call with a time limit, so that the kernel goes on with it by
 * restart_syscall(2): in the restored process the dump's interruption must lead to the call itself. */
#include "zdtm.h"

#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

static const struct timespec second = { .tv_sec = 1 }, hour = { .tv_sec = 3600 };
static struct barrier *ready;

static int sleeper(void *argument)
{
	(void)argument;
	barrier_post(ready);
	check(nanosleep(&second, NULL) == 0, "nanosleep");
	return 0;
}

static int sleeper_by_clock(void *argument)
{
	(void)argument;
	barrier_post(ready);
	check(clock_nanosleep(CLOCK_MONOTONIC, 0, &second, NULL) == 0, "clock_nanosleep");
	return 0;
}

static int poller(void *argument)
{
	(void)argument;
	barrier_post(ready);
	check(poll(NULL, 0, 1000) == 0, "poll of nothing");
	return 0;
}

static int reader(void *argument)
{
	struct pollfd fds[9] = { { .fd = *(int *)argument, .events = POLLIN } };

	for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
		fds[i].fd = -1;
	barrier_post(ready);
	check(poll(fds, ARRAY_SIZE(fds), -1) == 1 && fds[0].revents == POLLIN, "poll of a pipe");
	return 0;
}

static int waiter(void *word)
{
	barrier_post(ready);
	check(syscall(SYS_futex, word, FUTEX_WAIT, 0, &hour, NULL, 0) == 0, "futex");
	return 0;
}

int main(int argc, char **argv)
{
	int (*const bodies[])(void *) = { sleeper, sleeper_by_clock, poller, reader, waiter };
	pid_t pids[ARRAY_SIZE(bodies)];
	int ends[2];

	test_init(argc, argv);
	ready = barrier_new();
	check(pipe(ends) == 0, "pipe");
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		pids[i] = test_fork(bodies[i], bodies[i] == reader ? (void *)ends : (void *)&ready[1].count);
		barrier_wait(ready, i + 1);
		wait_asleep(pids[i]);
		check(kill(pids[i], SIGSTOP) == 0, "kill");
		check(waitpid(pids[i], NULL, WUNTRACED) == pids[i], "waitpid");
		check(kill(pids[i], SIGCONT) == 0, "kill");
		wait_asleep(pids[i]);
	}
	test_daemon();
	test_waitsig();
	check(write(ends[1], "x", 1) == 1, "write");
	while (syscall(SYS_futex, &ready[1].count, FUTEX_WAKE, 1, NULL, NULL, 0) == 0)
		usleep(1000);
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		int status;

		check(waitpid(pids[i], &status, 0) == pids[i] && status == 0, "child %zu ended with %#x", i, status);
	}
	return pass();
}
