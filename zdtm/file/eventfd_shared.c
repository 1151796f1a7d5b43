/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* One eventfd in two processes and under two numbers is one counter; another of the same value is another one. */
#include "zdtm.h"

#include <sys/eventfd.h>

static int shared, same, other;

static uint64_t take(int fd)
{
	uint64_t value;

	check(read(fd, &value, sizeof(value)) == sizeof(value), "read");
	return value;
}

static int child(void *barrier)
{
	uint64_t value = 100;

	test_waitsig();
	check(write(same, &value, sizeof(value)) == sizeof(value), "write");
	barrier_post(barrier);
	return 0;
}

int main(int argc, char **argv)
{
	struct barrier *written;
	uint64_t value;
	pid_t pid;

	test_init(argc, argv);
	shared = eventfd(1, EFD_NONBLOCK);
	other = eventfd(1, EFD_NONBLOCK);
	same = dup(shared);
	check(shared >= 0 && same >= 0 && other >= 0, "eventfd");
	written = barrier_new();
	pid = test_fork(child, written);

	test_daemon();
	test_waitsig();

	kill(pid, SIGTERM);
	barrier_wait(written, 1);
	value = take(shared);
	check(value == 101, "the counter is %llu", (unsigned long long)value);
	check(read(same, &value, sizeof(value)) == -1 && errno == EAGAIN, "its other number is another counter");
	errno = 0;
	value = take(other);
	check(value == 1, "the other counter is %llu", (unsigned long long)value);
	test_join(pid);
	return pass();
}
