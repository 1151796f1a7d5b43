/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The kernel keeps credentials per thread; the C library's calls, which change all threads, are avoided. */
#include "zdtm.h"

#include <linux/capability.h>
#include <pthread.h>

static struct barrier *ready, *go;

static void show(char *text, size_t size)
{
	char uid[64], gid[64], groups[64], effective[64];

	proc_field("thread-self/status", "Uid", uid, sizeof(uid));
	proc_field("thread-self/status", "Gid", gid, sizeof(gid));
	proc_field("thread-self/status", "Groups", groups, sizeof(groups));
	proc_field("thread-self/status", "CapEff", effective, sizeof(effective));
	snprintf(text, size, "%s; %s; %s; %s", uid, gid, groups, effective);
}

static void *thread(void *argument)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const uint32_t number = (uintptr_t)argument;
	struct __user_cap_data_struct data[2];
	const gid_t groups[] = { 500 + number, 600 + number };
	char before[512], after[512];

	check(syscall(SYS_setgroups, 2, groups) == 0, "setgroups");
	check(syscall(SYS_setresgid, 100 + number, 100 + number, 0) == 0, "setresgid");
	check(syscall(SYS_setresuid, 200 + number, 0, 300 + number) == 0, "setresuid");
	check(syscall(SYS_capget, &header, data) == 0, "capget");
	data[0].effective &= ~(1u << number);
	check(syscall(SYS_capset, &header, data) == 0, "capset");
	show(before, sizeof(before));
	barrier_post(ready);
	barrier_wait(go, 1);
	show(after, sizeof(after));
	check(!strcmp(before, after), "thread %u was %s is %s", number, before, after);
	return NULL;
}

int main(int argc, char **argv)
{
	char before[512], after[512];
	pthread_t threads[3];

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	for (uintptr_t i = 0; i < ARRAY_SIZE(threads); i++)
		check(pthread_create(&threads[i], NULL, thread, (void *)(i + 1)) == 0, "thread %zu", i);
	barrier_wait(ready, ARRAY_SIZE(threads));
	show(before, sizeof(before));
	test_daemon();
	test_waitsig();
	show(after, sizeof(after));
	check(!strcmp(before, after), "the main thread was %s is %s", before, after);
	barrier_post(go);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		check(pthread_join(threads[i], NULL) == 0, "join of thread %zu", i);
	return pass();
}
