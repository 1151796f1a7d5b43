/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* signalfd(2): a signal that was pending before is read with its sender and value, in the order of its mask. */
#include "zdtm.h"

#include <sys/signalfd.h>

static int read_one(int fd, struct signalfd_siginfo *info)
{
	memset(info, 0, sizeof(*info));
	return read(fd, info, sizeof(*info)) == sizeof(*info) ? (int)info->ssi_signo : -1;
}

int main(int argc, char **argv)
{
	struct signalfd_siginfo info;
	sigset_t both, one;
	int all, few, signo;

	test_init(argc, argv);
	sigemptyset(&both);
	sigaddset(&both, SIGUSR1);
	sigaddset(&both, SIGRTMAX);
	sigemptyset(&one);
	sigaddset(&one, SIGUSR2);
	check(sigprocmask(SIG_BLOCK, &both, NULL) == 0 && sigprocmask(SIG_BLOCK, &one, NULL) == 0, "sigprocmask");
	all = signalfd(-1, &both, SFD_NONBLOCK);
	few = signalfd(-1, &one, SFD_NONBLOCK | SFD_CLOEXEC);
	check(all >= 0 && few >= 0, "signalfd");
	check(sigqueue(getpid(), SIGRTMAX, (union sigval){ .sival_int = 4711 }) == 0, "sigqueue");
	check(kill(getpid(), SIGUSR1) == 0, "kill");

	test_daemon();
	test_waitsig();

	check(read_one(few, &info) == -1 && errno == EAGAIN, "a signal that is not in the mask");
	errno = 0;
	signo = read_one(all, &info);
	check(signo == SIGUSR1 && info.ssi_pid == (uint32_t)getpid(), "signal %d of %u", signo, info.ssi_pid);
	signo = read_one(all, &info);
	check(signo == SIGRTMAX && info.ssi_int == 4711, "signal %d with %d", signo, info.ssi_int);
	check(read_one(all, &info) == -1 && errno == EAGAIN, "one more signal");
	errno = 0;
	check(kill(getpid(), SIGUSR2) == 0, "kill");
	check(read_one(all, &info) == -1 && errno == EAGAIN, "the masks have become one");
	check(read_one(few, &info) == SIGUSR2, "the second file is deaf");
	return pass();
}
