/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The signal that tells of a message: O_ASYNC and its owner on a socket (fcntl(2)). */
#include "zdtm.h"

#include <fcntl.h>
#include <sys/socket.h>

static volatile sig_atomic_t number = -1;

static void handler(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	number = info->si_fd;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	int ends[2];

	test_init(argc, argv);
	check(sigaction(SIGRTMIN, &action, NULL) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0, "socketpair");
	check(fcntl(ends[0], F_SETOWN, getpid()) == 0 && fcntl(ends[0], F_SETSIG, SIGRTMIN) == 0, "F_SETOWN");
	check(fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK) == 0, "F_SETFL");

	test_daemon();
	test_waitsig();

	check(number == -1, "the signal came by itself");
	check(fcntl(ends[0], F_GETOWN) == getpid() && fcntl(ends[0], F_GETSIG) == SIGRTMIN, "the owner");
	check((fcntl(ends[0], F_GETFL) & (O_ASYNC | O_NONBLOCK)) == (O_ASYNC | O_NONBLOCK), "the flags");
	check(send(ends[1], "x", 1, 0) == 1 && number == ends[0], "the signal came for %d", (int)number);
	check(!(fcntl(ends[1], F_GETFL) & (O_ASYNC | O_NONBLOCK)), "the other end has the flags, too");
	return pass();
}
