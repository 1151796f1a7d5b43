/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The C library registered an area per thread, which the kernel keeps telling the processor's number. */
#include "zdtm.h"

#include <pthread.h>
#include <sched.h>
#include <sys/rseq.h>

static struct barrier *ready, *go;

static struct rseq *area(void)
{
	return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

/* Moves to each processor in turn; the kernel writes its number on the way back to the program. */
static void verify(const char *who)
{
	volatile struct rseq *own = area();
	cpu_set_t allowed, one;

	check(sched_getaffinity(0, sizeof(allowed), &allowed) == 0, "sched_getaffinity");
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		check(sched_setaffinity(0, sizeof(one), &one) == 0, "sched_setaffinity %u", cpu);
		check(own->cpu_id == cpu, "%s: area says processor %u, not %u", who, own->cpu_id, cpu);
		/* Until the kernel corrects it, the area says nonsense. */
		own->cpu_id_start = 0;
	}
	check(sched_setaffinity(0, sizeof(allowed), &allowed) == 0, "sched_setaffinity");
	errno = 0;
	check(syscall(SYS_rseq, own, 32, 0, RSEQ_SIG) == -1 && (errno == EBUSY || errno == EINVAL),
	      "%s: the area could be registered once more", who);
	errno = 0;
}

static void *thread(void *argument)
{
	verify("thread before");
	barrier_post(ready);
	barrier_wait(go, 1);
	verify("thread");
	return argument;
}

int main(int argc, char **argv)
{
	pthread_t other;

	test_init(argc, argv);
	check(__rseq_size > 0, "the C library has no area registered");
	ready = barrier_new();
	go = barrier_new();
	verify("main before");
	check(pthread_create(&other, NULL, thread, NULL) == 0, "pthread_create");
	barrier_wait(ready, 1);
	test_daemon();
	test_waitsig();
	verify("main");
	barrier_post(go);
	check(pthread_join(other, NULL) == 0, "pthread_join");
	return pass();
}
