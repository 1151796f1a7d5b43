/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Leases (F_SETLEASE, fcntl(2)): their kinds, and the signal with the descriptor when somebody opens the file. */
#include "zdtm.h"

#include <fcntl.h>

static int leased(const char *name, int flags, int kind)
{
	int fd = open(name, flags | O_CREAT, 0600);

	check(fd >= 0 && fcntl(fd, F_SETSIG, SIGRTMIN) == 0, "open");
	check(fcntl(fd, F_SETLEASE, kind) == 0, "F_SETLEASE");
	return fd;
}

int main(int argc, char **argv)
{
	int reads, writes, other;
	siginfo_t info;
	sigset_t set;
	char second[4096];

	test_init(argc, argv);
	snprintf(second, sizeof(second), "%s.second", test_filename);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	check(sigprocmask(SIG_BLOCK, &set, NULL) == 0, "sigprocmask");
	reads = leased(test_filename, O_RDONLY, F_RDLCK);
	writes = leased(second, O_RDWR, F_WRLCK);

	test_daemon();
	test_waitsig();

	check(fcntl(reads, F_GETLEASE) == F_RDLCK, "lease %d", fcntl(reads, F_GETLEASE));
	check(fcntl(writes, F_GETLEASE) == F_WRLCK, "lease %d", fcntl(writes, F_GETLEASE));
	other = open(test_filename, O_RDONLY | O_NONBLOCK);
	check(other >= 0, "a reader breaks the lease for reading");
	check(open(second, O_RDONLY | O_NONBLOCK) == -1 && errno == EWOULDBLOCK, "nobody is asked");
	errno = 0;
	check(sigwaitinfo(&set, &info) == SIGRTMIN && info.si_fd == writes, "descriptor %d of signal", info.si_fd);
	check(fcntl(writes, F_GETLEASE) == F_RDLCK, "what is asked for is %d", fcntl(writes, F_GETLEASE));
	check(fcntl(writes, F_SETLEASE, F_UNLCK) == 0, "give up");
	check(open(second, O_RDONLY | O_NONBLOCK) >= 0, "open");
	return pass();
}
