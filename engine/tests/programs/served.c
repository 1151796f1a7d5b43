/*
 * A program whose absent pages a thread of its own brings. At SIGUSR1 it looks at one of them, gives it up again, and
 * writes "good".
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static char page[4096] __attribute__((aligned(4096)));
static int fd;

static void need(int condition)
{
	if (!condition) {
		printf("bad\n");
		exit(1);
	}
}

static void *serve(void *unused)
{
	struct uffd_msg message;

	for (;;) {
		struct uffdio_copy copy = { .src = (unsigned long)page, .len = sizeof(page) };

		need(read(fd, &message, sizeof(message)) == sizeof(message));
		copy.dst = message.arg.pagefault.address & -4096ULL;
		/* After an interruption the same fault is reported twice. */
		if (ioctl(fd, UFFDIO_COPY, &copy) != 0)
			ioctl(fd, UFFDIO_WAKE, &(struct uffdio_range){ copy.dst, sizeof(page) });
	}
	return unused;
}

int main(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .range.len = 2 * sizeof(page), .mode = UFFDIO_REGISTER_MODE_MISSING };
	char *area = mmap(NULL, 2 * sizeof(page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct signalfd_siginfo got;
	pthread_t thread;
	sigset_t set;
	int signals;

	need(setsid() >= 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	page[7] = 7;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	need(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	/* In sigwait(3) the mask would change. */
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	need(signals >= 0);
	fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	range.range.start = (unsigned long)area;
	need(area != MAP_FAILED && ioctl(fd, UFFDIO_API, &api) == 0 && ioctl(fd, UFFDIO_REGISTER, &range) == 0);
	need(pthread_create(&thread, NULL, serve, NULL) == 0);
	do {
		need(area[7] == 7 && madvise(area, sizeof(page), MADV_DONTNEED) == 0);
		printf("good\n");
	} while (read(signals, &got, sizeof(got)) == sizeof(got));
	return 1;
}
