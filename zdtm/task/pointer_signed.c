/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What a program has signed with each of its keys before the dump, it authenticates after; and no key but its own would do. */
#include "zdtm.h"

#if defined(__aarch64__)

#include <sys/prctl.h>

enum { KEYS = 5 };

/* The address signed by key IA, IB, DA, DB with a modifier; by GA, a code of 32 bits. */
static void sign(const void *address, uint64_t modifier, uint64_t code[KEYS])
{
	for (int i = 0; i < KEYS; i++)
		code[i] = (uintptr_t)address;
	asm volatile(".arch armv8.3-a\n"
		     "pacia %0, %5; pacib %1, %5; pacda %2, %5; pacdb %3, %5; pacga %4, %4, %5"
		     : "+r"(code[0]), "+r"(code[1]), "+r"(code[2]), "+r"(code[3]), "+r"(code[4])
		     : "r"(modifier));
}

static uint64_t authenticated(uint64_t signed_address, uint64_t modifier)
{
	asm volatile(".arch armv8.3-a\nautia %0, %1" : "+r"(signed_address) : "r"(modifier));
	return signed_address;
}

int main(int argc, char **argv)
{
	uint64_t before[KEYS], after[KEYS], other[KEYS];
	int attempts = 20;

	test_init(argc, argv);
	sign(main, 7, before);
	/* A signature has few bits: one of a hundred new keys gives the same one. */
	do {
		check(prctl(PR_PAC_RESET_KEYS, PR_PAC_APIBKEY, 0, 0, 0) == 0, "PR_PAC_RESET_KEYS");
		sign(main, 7, other);
	} while (before[1] == other[1] && --attempts);
	check(before[1] != other[1], "new keys give the same signature %#jx", other[1]);
	test_daemon();
	test_waitsig();
	sign(main, 7, after);
	for (int i = 0; i < KEYS; i++)
		check(after[i] == other[i], "key %d signs as %#jx, expected %#jx", i, after[i], other[i]);
	check(authenticated(before[0], 7) == (uintptr_t)main, "an address signed before is not accepted");
	return pass();
}

#else

int main(int argc, char **argv)
{
	test_init(argc, argv);
	return fail("this machine does not sign pointers");
}

#endif
