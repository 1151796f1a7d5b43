/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A thread that spins in a restartable sequence (rseq(2)) is interrupted there by the dump: it must find itself at the
 * abort handler, never in the rest of the sequence.
 */
#include "zdtm.h"

#include <sys/rseq.h>

static struct rseq *area(void)
{
	return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

/* Spins inside of a sequence until the kernel sends it to the abort handler. */
static void spin_until_aborted(struct rseq *own)
{
#if defined(__x86_64__)
	asm volatile(".pushsection .data.rseq_cs, \"aw\"\n"
		     ".balign 32\n"
		     "3:\n"
		     ".long 0, 0\n"
		     ".quad 1f, 2f - 1f, 4f\n"
		     ".popsection\n"
		     "leaq 3b(%%rip), %%rax\n"
		     "movq %%rax, %0\n"
		     "1:\n"
		     "pause\n"
		     "jmp 1b\n"
		     "2:\n"
		     ".pushsection .text.rseq_abort, \"ax\"\n"
		     ".byte 0x0f, 0xb9, 0x3d\n"
		     ".long 0x53053053\n"
		     "4:\n"
		     "jmp 5f\n"
		     ".popsection\n"
		     "5:\n"
		     : "=m"(own->rseq_cs)
		     :
		     : "rax", "memory");
#elif defined(__arm__)
	/* Of the 64 bits of each address the lower 32 come first. */
	asm volatile(".pushsection .data.rseq_cs, \"aw\"\n"
		     ".balign 32\n"
		     "3:\n"
		     ".word 0, 0, 1f, 0, 2f - 1f, 0, 4f, 0\n"
		     ".popsection\n"
		     ".pushsection .data.rseq_pointer, \"aw\"\n"
		     "6: .word 3b\n"
		     ".popsection\n"
		     "movw r0, #:lower16:(6b - (7f + 4)); movt r0, #:upper16:(6b - (7f + 4))\n"
		     "7: add r0, pc\n"
		     "ldr r0, [r0]\n"
		     "str r0, [%0]\n"
		     "1:\n"
		     "b 1b\n"
		     "2:\n"
		     ".balign 4\n"
		     ".word 0xe7f5def3\n"
		     "4:\n"
		     :
		     : "r"(&own->rseq_cs)
		     : "r0", "memory");
#elif defined(__mips64)
	asm volatile(".pushsection .data.rseq_cs, \"aw\"\n"
		     ".balign 32\n"
		     "3:\n"
		     ".long 0, 0\n"
		     ".quad 1f, 2f - 1f, 4f\n"
		     ".popsection\n"
		     "dla $2, 3b\n"
		     "sd $2, %0\n"
		     ".set push\n"
		     ".set noreorder\n"
		     "1:\n"
		     "b 1b\n"
		     "nop\n"
		     "2:\n"
		     ".word %1\n"
		     "4:\n"
		     ".set pop\n"
		     : "=m"(own->rseq_cs)
		     : "i"(RSEQ_SIG)
		     : "$2", "memory");
#elif defined(__aarch64__)
	asm volatile(".pushsection .data.rseq_cs, \"aw\"\n"
		     ".balign 32\n"
		     "3:\n"
		     ".long 0, 0\n"
		     ".quad 1f, 2f - 1f, 4f\n"
		     ".popsection\n"
		     "adrp x1, 3b\n"
		     "add x1, x1, :lo12:3b\n"
		     "str x1, %0\n"
		     "1:\n"
		     "yield\n"
		     "b 1b\n"
		     "2:\n"
		     ".pushsection .text.rseq_abort, \"ax\"\n"
		     ".long 0xd428bc00\n"
		     "4:\n"
		     "b 5f\n"
		     ".popsection\n"
		     "5:\n"
		     : "=m"(own->rseq_cs)
		     :
		     : "x1", "memory");
#else
#error "this machine's sequence is not written yet"
#endif
}

int main(int argc, char **argv)
{
	struct rseq *own;
	uint64_t aborts = 0;

	test_init(argc, argv);
	check(__rseq_size > 0, "the C library has no area registered");
	own = area();
	spin_until_aborted(own);
	test_daemon();
	while (test_go()) {
		spin_until_aborted(own);
		aborts++;
	}
	check(aborts > 0 && own->rseq_cs == 0, "%ju aborts, area %jx", (uintmax_t)aborts, (uintmax_t)own->rseq_cs);
	return pass();
}
