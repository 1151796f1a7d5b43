/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Every signal gets another disposition; all of them are read back field by field. */
#include "zdtm.h"

/* Set by the C library where it brings its own way back from a handler; no header has the name. */
enum { SA_RESTORER_BIT = 0x04000000 };

static void handler(int signal)
{
	(void)signal;
}

static void describe(int signal, struct sigaction *action)
{
	static const int flags[] = { 0, SA_RESTART, SA_NODEFER, SA_RESETHAND, SA_ONSTACK, SA_NOCLDWAIT | SA_RESTART };

	memset(action, 0, sizeof(*action));
	action->sa_handler = signal % 7 == 0 ? SIG_IGN : signal % 5 == 0 ? SIG_DFL : handler;
	action->sa_flags = flags[signal % ARRAY_SIZE(flags)];
	sigemptyset(&action->sa_mask);
	sigaddset(&action->sa_mask, signal % 31 + 1);
	sigaddset(&action->sa_mask, SIGRTMAX - signal % 20);
	/* The kernel leaves these two out. */
	sigdelset(&action->sa_mask, SIGKILL);
	sigdelset(&action->sa_mask, SIGSTOP);
}

static bool settable(int signal)
{
	/* SIGTERM ends the test; 32 and 33 belong to the C library. */
	return signal != SIGKILL && signal != SIGSTOP && signal != SIGTERM && (signal < 32 || signal >= SIGRTMIN);
}

int main(int argc, char **argv)
{
	struct sigaction expected, found;

	test_init(argc, argv);
	for (int signal = 1; signal <= SIGRTMAX; signal++) {
		describe(signal, &expected);
		if (settable(signal))
			check(sigaction(signal, &expected, NULL) == 0, "sigaction %d", signal);
	}
	test_daemon();
	test_waitsig();
	for (int signal = 1; signal <= SIGRTMAX; signal++) {
		if (!settable(signal))
			continue;
		describe(signal, &expected);
		check(sigaction(signal, NULL, &found) == 0, "sigaction %d", signal);
		check(found.sa_handler == expected.sa_handler, "handler of %d is %p", signal, found.sa_handler);
		found.sa_flags &= ~SA_RESTORER_BIT;
		check(found.sa_flags == expected.sa_flags, "flags of %d are %#x", signal, found.sa_flags);
		for (int blocked = 1; blocked <= SIGRTMAX; blocked++)
			check(sigismember(&found.sa_mask, blocked) == sigismember(&expected.sa_mask, blocked),
			      "mask of %d differs in %d", signal, blocked);
	}
	return pass();
}
