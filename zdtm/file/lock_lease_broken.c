/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Leases that somebody is breaking (fcntl(2)): what is asked for stays, the signal comes once, and giving up lets others in. */
#include "zdtm.h"

#include <fcntl.h>

/* How each lease is held, and how it is broken. */
static const struct lease {
	int flags, kind, breaker, left;
} leases[] = {
	{ O_RDONLY, F_RDLCK, O_WRONLY, F_UNLCK },
	{ O_RDONLY, F_WRLCK, O_RDONLY, F_RDLCK },
	{ O_RDWR, F_WRLCK, O_RDWR, F_UNLCK },
};

int main(int argc, char **argv)
{
	const struct timespec none = { 0 };
	char names[ARRAY_SIZE(leases)][4096];
	int fds[ARRAY_SIZE(leases)], again;
	siginfo_t info;
	sigset_t set;

	test_init(argc, argv);
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigaddset(&set, SIGRTMIN);
	check(sigprocmask(SIG_BLOCK, &set, NULL) == 0, "sigprocmask");
	for (size_t i = 0; i < ARRAY_SIZE(leases); i++) {
		snprintf(names[i], sizeof(names[i]), "%s.%zu", test_filename, i);
		fds[i] = open(names[i], leases[i].flags | O_CREAT, 0600);
		check(fds[i] >= 0 && fcntl(fds[i], F_SETSIG, SIGRTMIN) == 0, "open");
		check(fcntl(fds[i], F_SETLEASE, leases[i].kind) == 0, "F_SETLEASE");
	}
	/* Both leases of one file are broken at once. */
	again = open(names[0], O_RDONLY);
	check(again >= 0 && fcntl(again, F_SETSIG, SIGRTMIN) == 0 && fcntl(again, F_SETLEASE, F_RDLCK) == 0, "second lease");
	for (size_t i = 0; i < ARRAY_SIZE(leases); i++)
		check(open(names[i], leases[i].breaker | O_NONBLOCK) == -1 && errno == EWOULDBLOCK, "lease %zu does not hold", i);
	for (size_t i = 0; i <= ARRAY_SIZE(leases); i++)
		check(sigtimedwait(&set, &info, &none) == SIGRTMIN, "signal %zu is missing", i);

	test_daemon();
	test_waitsig();

	check(sigtimedwait(&set, &info, &none) == -1, "signal %d comes again", info.si_signo);
	for (size_t i = 0; i < ARRAY_SIZE(leases); i++) {
		check(fcntl(fds[i], F_GETLEASE) == leases[i].left, "of lease %zu %d is left", i, fcntl(fds[i], F_GETLEASE));
		check(open(names[i], leases[i].breaker | O_NONBLOCK) == -1 && errno == EWOULDBLOCK, "lease %zu does not hold", i);
		check(fcntl(fds[i], F_SETLEASE, leases[i].left) == 0, "lease %zu cannot be given up", i);
	}
	check(fcntl(again, F_SETLEASE, F_UNLCK) == 0, "the second lease cannot be given up");
	for (size_t i = 0; i < ARRAY_SIZE(leases); i++)
		check(open(names[i], leases[i].breaker | O_NONBLOCK) >= 0, "nobody gets in at %zu", i);
	/* A lease that is left goes on to be told of. */
	check(open(names[1], O_WRONLY | O_NONBLOCK) == -1 && errno == EWOULDBLOCK, "what was left does not hold");
	check(sigtimedwait(&set, &info, &none) == SIGRTMIN && info.si_fd == fds[1], "no signal for what was left");
	return pass();
}
