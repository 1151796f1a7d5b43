/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* userfaultfd(2) as the tests use it. */
#ifndef ZDTM_USERFAULTFD_H
#define ZDTM_USERFAULTFD_H

#include "zdtm.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>

/* A new one that was set up with these features. */
static inline int uffd_new(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	check(fd >= 0, "userfaultfd");
	check(ioctl(fd, UFFDIO_API, &api) == 0, "UFFDIO_API %#llx", (unsigned long long)features);
	return fd;
}

static inline void uffd_register(int fd, void *area, size_t pages, uint64_t mode)
{
	struct uffdio_register range = { { (uintptr_t)area, pages * page_size() }, mode, 0 };

	check(ioctl(fd, UFFDIO_REGISTER, &range) == 0, "UFFDIO_REGISTER");
}

/* Gives an absent page its content, pattern_fill() with the seed. */
static inline void uffd_copy(int fd, void *page, uint32_t seed)
{
	char *content = map_pages(1);
	struct uffdio_copy copy = { .dst = (uintptr_t)page, .src = (uintptr_t)content, .len = page_size() };

	pattern_fill(content, page_size(), seed);
	check(ioctl(fd, UFFDIO_COPY, &copy) == 0, "UFFDIO_COPY");
	check(munmap(content, page_size()) == 0, "munmap");
}

static inline void uffd_protect(int fd, void *area, size_t pages, bool on)
{
	struct uffdio_writeprotect range = { { (uintptr_t)area, pages * page_size() },
					     on ? UFFDIO_WRITEPROTECT_MODE_WP : 0 };

	check(ioctl(fd, UFFDIO_WRITEPROTECT, &range) == 0, "UFFDIO_WRITEPROTECT");
}

/* Whether a fault is reported within so many milliseconds; its flags and the address of its page. */
static inline bool uffd_fault(int fd, int wait, uint64_t *flags, char **page)
{
	struct pollfd ready = { fd, POLLIN, 0 };
	struct uffd_msg message;

	if (poll(&ready, 1, wait) != 1)
		return false;
	check(read(fd, &message, sizeof(message)) == sizeof(message), "read of a fault");
	check(message.event == UFFD_EVENT_PAGEFAULT, "event %#x", message.event);
	*flags = message.arg.pagefault.flags;
	*page = (char *)(uintptr_t)(message.arg.pagefault.address & -(uint64_t)page_size());
	return true;
}

/* A thread that answers all faults. */
struct uffd_handler {
	int fd;
	void (*answer)(uint64_t flags, char *page);
	uint32_t reported; /* faults so far */
	struct barrier *ready;
};

static inline void *uffd_answer_all(void *argument)
{
	struct uffd_handler *handler = argument;
	uint64_t flags;
	char *page;

	barrier_post(handler->ready);
	for (;;)
		if (uffd_fault(handler->fd, -1, &flags, &page)) {
			__atomic_add_fetch(&handler->reported, 1, __ATOMIC_SEQ_CST);
			handler->answer(flags, page);
		}
	return NULL;
}

/* Starts it; returns when it runs. */
static inline void uffd_serve(struct uffd_handler *handler)
{
	pthread_t thread;

	handler->ready = barrier_new();
	check(pthread_create(&thread, NULL, uffd_answer_all, handler) == 0, "pthread_create");
	barrier_wait(handler->ready, 1);
}

#endif
