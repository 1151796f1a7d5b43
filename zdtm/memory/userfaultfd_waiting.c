/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A thread waits for two absent pages in turn; nobody has read of the first one yet, of the other one somebody has. */
#include "userfaultfd.h"

#include <pthread.h>

static char *unread, *unanswered;

static void *waiter(void *page)
{
	return pattern_holds(page, page_size(), 7) ? page : NULL;
}

static void answer(int fd, char *expected)
{
	uint64_t flags;
	char *page;

	check(uffd_fault(fd, 60000, &flags, &page), "no fault is reported");
	check(page == expected, "a fault at %p, not at %p", (void *)page, (void *)expected);
	uffd_copy(fd, page, 7);
}

int main(int argc, char **argv)
{
	pthread_t threads[2];
	void *held[2];
	uint64_t flags;
	char *page;
	int fds[2];

	test_init(argc, argv);
	unread = map_pages(1);
	unanswered = map_pages(1);
	for (int i = 0; i < 2; i++) {
		fds[i] = uffd_new(0);
		uffd_register(fds[i], i ? unanswered : unread, 1, UFFDIO_REGISTER_MODE_MISSING);
		check(pthread_create(&threads[i], NULL, waiter, i ? unanswered : unread) == 0, "pthread_create");
	}
	check(uffd_fault(fds[1], 60000, &flags, &page) && page == unanswered, "no fault is reported");
	check(poll(&(struct pollfd){ fds[0], POLLIN, 0 }, 1, 60000) == 1, "no fault waits");

	test_daemon();
	test_waitsig();

	answer(fds[0], unread);
	answer(fds[1], unanswered);
	for (int i = 0; i < 2; i++)
		check(pthread_join(threads[i], &held[i]) == 0 && held[i], "page %d", i);
	return pass();
}
