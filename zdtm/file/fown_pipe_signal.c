/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The signal that tells of input on a pipe: O_ASYNC, F_SETOWN and F_SETSIG (fcntl(2)), for the task itself. */
#include "zdtm.h"

#include <fcntl.h>
#include <poll.h>

static siginfo_t got;
static volatile sig_atomic_t count;

static void handler(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	got = *info;
	count++;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	int ends[2], quiet[2], signal_number = SIGRTMIN + 3;

	test_init(argc, argv);
	check(sigaction(signal_number, &action, NULL) == 0 && pipe(ends) == 0 && pipe(quiet) == 0, "pipe");
	check(fcntl(ends[0], F_SETOWN, getpid()) == 0 && fcntl(ends[0], F_SETSIG, signal_number) == 0, "F_SETOWN");
	check(fcntl(ends[0], F_SETFL, O_ASYNC) == 0, "F_SETFL");
	/* This one has an owner, but is not asynchronous. */
	check(fcntl(quiet[0], F_SETOWN, getpid()) == 0 && fcntl(quiet[0], F_SETSIG, signal_number) == 0, "F_SETOWN");

	test_daemon();
	test_waitsig();

	check(count == 0, "the signal came by itself");
	check(fcntl(ends[0], F_GETOWN) == getpid(), "the owner is %d", fcntl(ends[0], F_GETOWN));
	check(fcntl(ends[0], F_GETSIG) == signal_number, "the signal is %d", fcntl(ends[0], F_GETSIG));
	check(fcntl(ends[0], F_GETFL) & O_ASYNC && !(fcntl(quiet[0], F_GETFL) & O_ASYNC), "O_ASYNC");
	check(fcntl(quiet[0], F_GETOWN) == getpid() && fcntl(quiet[0], F_GETSIG) == signal_number, "the quiet pipe");
	check(fcntl(ends[1], F_GETOWN) == 0, "the write end has an owner");
	check(write(quiet[1], "x", 1) == 1 && count == 0, "the quiet pipe raises a signal");
	check(write(ends[1], "x", 1) == 1 && count == 1, "%d signals came", (int)count);
	check(got.si_fd == ends[0] && got.si_code == POLL_IN, "of fd %d, code %d", got.si_fd, got.si_code);
	return pass();
}
