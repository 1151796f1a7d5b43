/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Segment descriptors that set_thread_area(2) gives a thread; a 64-bit one reaches them by 32-bit system calls. */
#include "zdtm.h"

#include <pthread.h>

#if defined(__x86_64__)
#define LOW MAP_32BIT
#else
#define LOW 0
#endif

/* The entries that are a thread's own, and 32-bit numbers of the calls (arch/x86/entry/syscalls/syscall_32.tbl). */
enum { THREADS = 3, FIRST_ENTRY = 12, SET_THREAD_AREA = 243, GET_THREAD_AREA = 244 };

/* struct user_desc; the flags are those of a writable 32-bit segment with the bit that programs may use. */
struct descriptor {
	uint32_t entry, base, limit, flags;
};

static int thread_area(int call, struct descriptor *descriptor)
{
#if defined(__x86_64__)
	int result;

	asm volatile("int $0x80" : "=a"(result) : "a"(call), "b"(descriptor) : "r8", "r9", "r10", "r11", "memory");
	return result;
#else
	(void)call;
	(void)descriptor;
	return -ENOSYS;
#endif
}

static struct barrier *ready, *go;

static void *thread(void *argument)
{
	struct descriptor *own = argument, *now = own + THREADS;

	check(thread_area(SET_THREAD_AREA, own) == 0, "set_thread_area");
	barrier_post(ready);
	barrier_wait(go, 1);
	now->entry = own->entry;
	check(thread_area(GET_THREAD_AREA, now) == 0, "get_thread_area");
	check(memcmp(now, own, sizeof(*now)) == 0, "descriptor %u: base %x, limit %x, flags %x", now->entry, now->base,
	      now->limit, now->flags);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	struct descriptor *descriptors;

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	/* The calls take 32-bit addresses. */
	descriptors = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | LOW, -1, 0);
	check(descriptors != MAP_FAILED, "mmap");
	for (unsigned i = 0; i < THREADS; i++) {
		descriptors[i] = (struct descriptor){ FIRST_ENTRY + i, 0x10000 * (i + 1), 0x1000 + i, 0x41 };
		check(pthread_create(&threads[i], NULL, thread, &descriptors[i]) == 0, "pthread_create");
	}
	barrier_wait(ready, THREADS);
	test_daemon();
	test_waitsig();
	barrier_post(go);
	for (unsigned i = 0; i < THREADS; i++)
		check(pthread_join(threads[i], NULL) == 0, "pthread_join");
	return pass();
}
