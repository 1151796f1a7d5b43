/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Threads with different seccomp filters, beside a main thread that has none. */
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

static void *thread(void *error)
{
	int wanted = (intptr_t)error;
	struct sock_filter steps[] = {
		OWN_CALLS,
		ANSWER(SYS_uname, SECCOMP_RET_ERRNO | wanted),
		OTHERS(SECCOMP_RET_ALLOW),
	};

	check(filter_promise(steps, ARRAY_SIZE(steps)) == 0, "seccomp");
	check(refused() == wanted, "the filter does not work");
	barrier_post(ready);
	barrier_wait(go, 1);
	check(refused() == wanted, "the filter that says %d is gone or another", wanted);
	return NULL;
}

int main(int argc, char **argv)
{
	static const int errors[] = { EDOM, EXDEV, ENOTTY };
	pthread_t threads[ARRAY_SIZE(errors)];

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		check(pthread_create(&threads[i], NULL, thread, (void *)(intptr_t)errors[i]) == 0, "pthread_create");
	barrier_wait(ready, ARRAY_SIZE(errors));
	test_daemon();
	test_waitsig();
	check(refused() == 0, "the main thread has a filter, too");
	check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0, "the main thread has promised, too");
	barrier_post(go);
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		check(pthread_join(threads[i], NULL) == 0, "pthread_join");
	return pass();
}
