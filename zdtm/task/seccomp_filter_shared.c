/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Filters that all threads share: one of them can set another for all (SECCOMP_FILTER_FLAG_TSYNC), beside one of its own. */
#include "filter.h"

#include <pthread.h>
#include <sys/utsname.h>

static struct barrier *ready, *go;

static int refused(void)
{
	struct utsname name;

	errno = 0;
	return uname(&name) == 0 ? 0 : errno;
}

static void *thread(void *unused)
{
	(void)unused;
	barrier_post(ready);
	barrier_wait(go, 1);
	check(refused() == EDOM, "the filter that all share is gone");
	check(syscall(SYS_getpriority, 0, 0) == -1 && errno == EXDEV, "the filter that was set for all is not there");
	errno = 0;
	check(syscall(SYS_getppid) > 0, "the filter of another thread is here");
	return NULL;
}

int main(int argc, char **argv)
{
	struct sock_filter shared[] = { OWN_CALLS, ANSWER(SYS_uname, SECCOMP_RET_ERRNO | EDOM), OTHERS(SECCOMP_RET_ALLOW) };
	struct sock_filter own[] = { OWN_CALLS, ANSWER(SYS_getppid, SECCOMP_RET_ERRNO | EPERM), OTHERS(SECCOMP_RET_ALLOW) };
	struct sock_filter more[] = { OWN_CALLS, ANSWER(SYS_getpriority, SECCOMP_RET_ERRNO | EXDEV),
				      OTHERS(SECCOMP_RET_ALLOW) };
	pthread_t threads[3];
	long who;

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	check(filter_promise(shared, ARRAY_SIZE(shared)) == 0, "seccomp");
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		check(pthread_create(&threads[i], NULL, thread, NULL) == 0, "pthread_create");
	barrier_wait(ready, ARRAY_SIZE(threads));
	check(refused() == EDOM, "the filter does not work");

	test_daemon();
	test_waitsig();

	errno = 0;
	who = filter_set(SECCOMP_FILTER_FLAG_TSYNC, more, ARRAY_SIZE(more));
	check(who == 0, "thread %ld does not share the filter", who);
	check(filter_set(0, own, ARRAY_SIZE(own)) == 0 && syscall(SYS_getppid) == -1, "a filter of its own");
	barrier_post(go);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		check(pthread_join(threads[i], NULL) == 0, "pthread_join");
	return pass();
}
