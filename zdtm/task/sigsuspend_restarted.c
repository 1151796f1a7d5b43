/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The mask that sigsuspend sets for a while, and the saved one that belongs to the task. */
#include "zdtm.h"

static struct barrier *ready;
static volatile sig_atomic_t caught;

static void on_usr1(int signal)
{
	caught = signal;
}

static int child(void *argument)
{
	struct sigaction action = { .sa_handler = on_usr1 };
	sigset_t own, open, now;

	(void)argument;
	sigemptyset(&own);
	sigaddset(&own, SIGUSR1);
	sigaddset(&own, SIGUSR2);
	check(sigprocmask(SIG_SETMASK, &own, NULL) == 0, "sigprocmask");
	check(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
	sigemptyset(&open);
	sigaddset(&open, SIGHUP);
	barrier_post(ready);
	check(sigsuspend(&open) == -1 && errno == EINTR, "sigsuspend");
	errno = 0;
	check(caught == SIGUSR1, "sigsuspend came back without a signal");
	check(sigprocmask(SIG_SETMASK, NULL, &now) == 0, "sigprocmask");
	check(sigismember(&now, SIGUSR1) && sigismember(&now, SIGUSR2) && !sigismember(&now, SIGHUP),
	      "the mask of the task is not its own");
	return 0;
}

/* status shows the mask of the moment: HUP alone, the lowest bit. */
static void wait_suspended(pid_t pid)
{
	char path[32], mask[64];

	snprintf(path, sizeof(path), "%d/status", pid);
	do {
		usleep(1000);
		proc_field(path, "SigBlk", mask, sizeof(mask));
	} while (strtoull(mask, NULL, 16) != 1);
}

int main(int argc, char **argv)
{
	int status;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	pid = test_fork(child, NULL);
	barrier_wait(ready, 1);
	wait_suspended(pid);
	test_daemon();
	test_waitsig();
	check(kill(pid, SIGUSR1) == 0, "kill");
	check(waitpid(pid, &status, 0) == pid && status == 0, "the child ended with %#x", status);
	return pass();
}
