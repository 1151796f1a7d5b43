/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The main thread and a second one have alternate stacks of their own; one is used while the test is dumped. */
#include "zdtm.h"

#include <pthread.h>

enum { SIZE = 64 * 1024 };

static struct barrier *ready, *go;
static void *main_stack, *thread_stack;

static bool on(const void *stack, const void *address)
{
	return (const char *)address >= (const char *)stack && (const char *)address < (const char *)stack + SIZE;
}

static void verify(void *memory, int flags)
{
	stack_t now;

	check(sigaltstack(NULL, &now) == 0, "sigaltstack");
	check(now.ss_sp == memory && now.ss_size == SIZE, "stack is %p, %zu bytes", now.ss_sp, now.ss_size);
	check(now.ss_flags == flags, "flags are %#x, expected %#x", now.ss_flags, flags);
}

/* The thread is dumped in here. */
static void on_usr1(int signal)
{
	check(signal == SIGUSR1 && on(thread_stack, &signal), "the handler runs at %p", &signal);
	barrier_post(ready);
	barrier_wait(go, 1);
	verify(thread_stack, SS_ONSTACK);
}

static void on_usr2(int signal)
{
	check(signal == SIGUSR2 && on(main_stack, &signal), "the handler runs at %p", &signal);
	barrier_post(go);
}

static void *install(int signal, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
	stack_t stack = { .ss_sp = map_pages(SIZE / page_size()), .ss_size = SIZE };

	check(sigaltstack(&stack, NULL) == 0, "sigaltstack");
	check(sigaction(signal, &action, NULL) == 0, "sigaction");
	return stack.ss_sp;
}

static void *thread(void *argument)
{
	thread_stack = install(SIGUSR1, on_usr1);
	check(pthread_kill(pthread_self(), SIGUSR1) == 0, "pthread_kill");
	verify(thread_stack, 0);
	return argument;
}

int main(int argc, char **argv)
{
	pthread_t other;

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	main_stack = install(SIGUSR2, on_usr2);
	check(pthread_create(&other, NULL, thread, NULL) == 0, "pthread_create");
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	verify(main_stack, 0);
	check(pthread_kill(pthread_self(), SIGUSR2) == 0 && pthread_join(other, NULL) == 0, "end of the thread");
	return pass();
}
