/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Counters of eventfd(2): empty, small and full, with the flags of each. */
#include "zdtm.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#define FULL (UINT64_MAX - 1)

int main(int argc, char **argv)
{
	int empty, small, full;
	uint64_t value = FULL;
	struct pollfd events;

	test_init(argc, argv);
	empty = eventfd(0, EFD_NONBLOCK);
	small = eventfd(7, EFD_CLOEXEC);
	full = eventfd(0, EFD_NONBLOCK);
	check(empty >= 0 && small >= 0 && full >= 0, "eventfd");
	check(write(full, &value, sizeof(value)) == sizeof(value), "write");

	test_daemon();
	test_waitsig();

	check(read(empty, &value, sizeof(value)) == -1 && errno == EAGAIN, "the empty counter can be read");
	errno = 0;
	check(fcntl(small, F_GETFL) == O_RDWR, "flags are %#x", fcntl(small, F_GETFL));
	check(fcntl(small, F_GETFD) == FD_CLOEXEC, "close-on-exec is gone");
	check(read(small, &value, sizeof(value)) == sizeof(value) && value == 7, "7 became %llu",
	      (unsigned long long)value);
	events = (struct pollfd){ .fd = full, .events = POLLIN | POLLOUT };
	check(poll(&events, 1, 0) == 1 && events.revents == POLLIN, "a full counter shows %#x", events.revents);
	value = 1;
	check(write(full, &value, sizeof(value)) == -1 && errno == EAGAIN, "a full counter can be added to");
	errno = 0;
	check(read(full, &value, sizeof(value)) == sizeof(value) && value == FULL, "the full one became %llu",
	      (unsigned long long)value);
	return pass();
}
