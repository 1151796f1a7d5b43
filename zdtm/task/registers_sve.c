/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Threads spin with known values in all SVE registers, one of them with shorter vectors, while they are dumped. */
#include "zdtm.h"

#if defined(__aarch64__)

#include <pthread.h>
#include <sys/prctl.h>

enum { MOST = 32 * 256 + 17 * 32 };

#define THIRTY_TWO "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"
#define SIXTEEN "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"

/* Loads z0-31 from x0 on, p0-15 and FFR from x1 on, spins until test_terminated, stores them all again. */
void spin(void *vectors, void *predicates);
asm(".text; .arch armv8-a+sve; .balign 4; spin:\n\t"
    "stp d8, d9, [sp, #-64]!; stp d10, d11, [sp, #16]; stp d12, d13, [sp, #32]; stp d14, d15, [sp, #48]\n\t"
    "adrp x2, test_terminated; add x2, x2, :lo12:test_terminated\n\t"
    "ldr p0, [x1, #16, mul vl]; wrffr p0.b\n\t"
    ".irp n," SIXTEEN "\nldr p\\n, [x1, #\\n, mul vl]\n.endr\n"
    ".irp n," THIRTY_TWO "\nldr z\\n, [x0, #\\n, mul vl]\n.endr\n"
    "1: ldr w3, [x2]; cbz w3, 1b\n\t"
    ".irp n," THIRTY_TWO "\nstr z\\n, [x0, #\\n, mul vl]\n.endr\n"
    ".irp n," SIXTEEN "\nstr p\\n, [x1, #\\n, mul vl]\n.endr\n"
    "rdffr p0.b; str p0, [x1, #16, mul vl]\n\t"
    "ldp d10, d11, [sp, #16]; ldp d12, d13, [sp, #32]; ldp d14, d15, [sp, #48]; ldp d8, d9, [sp], #64\n\t"
    "ret");

static struct barrier *ready;

static void keep(uint32_t seed, int length)
{
	unsigned char vectors[MOST];
	const int size = 32 * length, predicates = 17 * length / 8;

	pattern_fill(vectors, size + predicates, seed);
	/* FFR is all ones up to some point. */
	memset(vectors + size + 2 * length, 0, length / 8);
	vectors[size + 2 * length] = 0x7f;
	barrier_post(ready);
	if (seed == 1) {
		barrier_wait(ready, 2);
		test_daemon();
	}
	spin(vectors, vectors + size);
	check(prctl(PR_SVE_GET_VL) % 65536 == length, "vectors have %d bytes, expected %d",
	      prctl(PR_SVE_GET_VL) % 65536, length);
	check(vectors[size + 2 * length] == 0x7f, "FFR begins with %#x", vectors[size + 2 * length]);
	check(pattern_holds(vectors, size + 2 * length, seed), "registers of vectors of %d bytes have changed", length);
}

static void *short_vectors(void *argument)
{
	(void)argument;
	check((prctl(PR_SVE_SET_VL, 16) & 0xffff) == 16, "PR_SVE_SET_VL");
	keep(2, 16);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	test_init(argc, argv);
	ready = barrier_new();
	check(pthread_create(&thread, NULL, short_vectors, NULL) == 0, "pthread_create");
	keep(1, prctl(PR_SVE_GET_VL) & 0xffff);
	check(pthread_join(thread, NULL) == 0, "pthread_join");
	return pass();
}

#else

int main(int argc, char **argv)
{
	test_init(argc, argv);
	return fail("this machine has no such registers");
}

#endif
