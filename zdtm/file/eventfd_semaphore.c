/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* EFD_SEMAPHORE: each read(2) takes 1 from the counter, of any other eventfd it takes all. */
#include "zdtm.h"

#include <sys/eventfd.h>

int main(int argc, char **argv)
{
	int semaphore, counter, empty, i;
	uint64_t value;

	test_init(argc, argv);
	semaphore = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
	empty = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK);
	counter = eventfd(3, EFD_NONBLOCK);
	check(semaphore >= 0 && empty >= 0 && counter >= 0, "eventfd");

	test_daemon();
	test_waitsig();

	for (i = 3; i > 0; i--)
		check(read(semaphore, &value, sizeof(value)) == sizeof(value) && value == 1,
		      "with %d left, a read takes %llu", i, (unsigned long long)value);
	check(read(semaphore, &value, sizeof(value)) == -1 && errno == EAGAIN, "the semaphore has more than 3");
	check(read(empty, &value, sizeof(value)) == -1 && errno == EAGAIN, "the empty semaphore has something");
	errno = 0;
	value = 2;
	check(write(empty, &value, sizeof(value)) == sizeof(value), "write");
	check(read(empty, &value, sizeof(value)) == sizeof(value) && value == 1, "it is no semaphore any more");
	check(read(counter, &value, sizeof(value)) == sizeof(value) && value == 3, "a read takes %llu of a counter",
	      (unsigned long long)value);
	return pass();
}
