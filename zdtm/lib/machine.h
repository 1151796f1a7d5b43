/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Registers of the machine: load them all with known values, spin without touching one until SIGTERM, store them.
 * A dump in between finds the values nowhere but in the registers.
 *
 *	machine_spin_gprs(values)	MACHINE_GPRS words, general purpose registers
 *	machine_spin_vectors(values)	machine_vectors_size() bytes, the widest vector registers of this processor
 *	MACHINE_ANSWER			the code of a function that returns 42
 *	MACHINE_CODE			marks a function that MACHINE_ANSWER may overwrite
 *	machine_float_control()		rounding and flush modes, as one word; machine_set_float_control() sets them
 *
 * A machine without code of its own keeps a few words and doubles in registers by means of the compiler.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include "zdtm.h"

#if defined(__x86_64__)

#define MACHINE_ANSWER { 0xb8, 0x2a, 0x00, 0x00, 0x00, 0xc3 } /* mov $42, %eax; ret */

/* All but rsp: rax rbx rcx rdx rsi rdi rbp r8..r15. */
#define MACHINE_GPRS 15

__attribute__((naked, noinline, unused)) static void machine_spin_gprs(uint64_t *values)
{
	(void)values; /* rdi */
	asm volatile("push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rdi\n\t"
		     "mov 0(%rdi), %rax; mov 8(%rdi), %rbx; mov 16(%rdi), %rcx; mov 24(%rdi), %rdx\n\t"
		     "mov 32(%rdi), %rsi; mov 48(%rdi), %rbp; mov 56(%rdi), %r8; mov 64(%rdi), %r9\n\t"
		     "mov 72(%rdi), %r10; mov 80(%rdi), %r11; mov 88(%rdi), %r12; mov 96(%rdi), %r13\n\t"
		     "mov 104(%rdi), %r14; mov 112(%rdi), %r15; mov 40(%rdi), %rdi\n"
		     "1: pause; cmpl $0, test_terminated(%rip); je 1b\n\t"
		     "push %rdi; mov 8(%rsp), %rdi\n\t"
		     "mov %rax, 0(%rdi); mov %rbx, 8(%rdi); mov %rcx, 16(%rdi); mov %rdx, 24(%rdi)\n\t"
		     "mov %rsi, 32(%rdi); mov %rbp, 48(%rdi); mov %r8, 56(%rdi); mov %r9, 64(%rdi)\n\t"
		     "mov %r10, 72(%rdi); mov %r11, 80(%rdi); mov %r12, 88(%rdi); mov %r13, 96(%rdi)\n\t"
		     "mov %r14, 104(%rdi); mov %r15, 112(%rdi); pop %rax; mov %rax, 40(%rdi)\n\t"
		     "pop %rdi; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret");
}

#define MACHINE_SIXTEEN "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"
#define MACHINE_NEXT_SIXTEEN "16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"
#define MACHINE_SPIN "1: pause; cmpl $0, test_terminated(%rip); je 1b\n\t"

/* zmm0..31 and the mask registers k0..7, of which AVX512F alone has 16 bits. */
__attribute__((naked, noinline, unused)) static void machine_spin_zmm(void *values)
{
	(void)values;
	asm volatile(".irp n," MACHINE_SIXTEEN "," MACHINE_NEXT_SIXTEEN "\n"
		     "vmovdqu64 \\n*64(%rdi), %zmm\\n\n.endr\n"
		     ".irp n,0,1,2,3,4,5,6,7\nkmovw 2048+\\n*2(%rdi), %k\\n\n.endr\n" MACHINE_SPIN
		     ".irp n," MACHINE_SIXTEEN "," MACHINE_NEXT_SIXTEEN "\n"
		     "vmovdqu64 %zmm\\n, \\n*64(%rdi)\n.endr\n"
		     ".irp n,0,1,2,3,4,5,6,7\nkmovw %k\\n, 2048+\\n*2(%rdi)\n.endr\n"
		     "vzeroupper; ret");
}

__attribute__((naked, noinline, unused)) static void machine_spin_ymm(void *values)
{
	(void)values;
	asm volatile(".irp n," MACHINE_SIXTEEN "\nvmovdqu \\n*32(%rdi), %ymm\\n\n.endr\n" MACHINE_SPIN
		     ".irp n," MACHINE_SIXTEEN "\nvmovdqu %ymm\\n, \\n*32(%rdi)\n.endr\n"
		     "vzeroupper; ret");
}

__attribute__((naked, noinline, unused)) static void machine_spin_xmm(void *values)
{
	(void)values;
	asm volatile(".irp n," MACHINE_SIXTEEN "\nmovdqu \\n*16(%rdi), %xmm\\n\n.endr\n" MACHINE_SPIN
		     ".irp n," MACHINE_SIXTEEN "\nmovdqu %xmm\\n, \\n*16(%rdi)\n.endr\n"
		     "ret");
}

__attribute__((unused)) static size_t machine_vectors_size(void)
{
	if (__builtin_cpu_supports("avx512f"))
		return 32 * 64 + 8 * 2;
	return __builtin_cpu_supports("avx") ? 16 * 32 : 16 * 16;
}

__attribute__((unused)) static void machine_spin_vectors(void *values)
{
	if (__builtin_cpu_supports("avx512f"))
		machine_spin_zmm(values);
	else if (__builtin_cpu_supports("avx"))
		machine_spin_ymm(values);
	else
		machine_spin_xmm(values);
}

/* mxcsr in the low half, the x87 control word in the high half. */
__attribute__((unused)) static uint64_t machine_float_control(void)
{
	uint32_t mxcsr;
	uint16_t x87;

	asm volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr), "=m"(x87));
	/* Exception flags, the low six bits of mxcsr, are results and not modes. */
	return (mxcsr & ~0x3fu) | (uint64_t)x87 << 32;
}

/* Rounds toward zero, flushes denormals to zero, and halves the precision of x87. */
__attribute__((unused)) static void machine_set_float_control(void)
{
	const uint32_t mxcsr = 0x1f80 | 0x6000 | 0x8000;
	const uint16_t x87 = 0x0c7f;

	asm volatile("ldmxcsr %0; fldcw %1" : : "m"(mxcsr), "m"(x87));
}

#elif defined(__aarch64__)

#define MACHINE_ANSWER { 0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6 } /* mov w0, #42; ret */

/* x0..x28 but x18, which some platforms reserve; x29, x30 and sp hold the frame. */
#define MACHINE_GPRS 28

/* gcc has no naked functions on this machine. */
void machine_spin_gprs(uint64_t *values);
asm(".text; .balign 4; machine_spin_gprs:\n\t"
    "stp x29, x30, [sp, #-112]!; stp x19, x20, [sp, #16]; stp x21, x22, [sp, #32]\n\t"
    "stp x23, x24, [sp, #48]; stp x25, x26, [sp, #64]; stp x27, x28, [sp, #80]; str x0, [sp, #96]\n\t"
    "adrp x30, test_terminated; add x30, x30, :lo12:test_terminated; mov x29, x0\n\t"
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17\nldr x\\n, [x29, #\\n*8]\n.endr\n"
    ".irp n,19,20,21,22,23,24,25,26,27,28\nldr x\\n, [x29, #\\n*8-8]\n.endr\n"
    "1: ldr w29, [x30]; cbz w29, 1b; ldr x29, [sp, #96]\n\t"
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17\nstr x\\n, [x29, #\\n*8]\n.endr\n"
    ".irp n,19,20,21,22,23,24,25,26,27,28\nstr x\\n, [x29, #\\n*8-8]\n.endr\n"
    "ldp x19, x20, [sp, #16]; ldp x21, x22, [sp, #32]; ldp x23, x24, [sp, #48]\n\t"
    "ldp x25, x26, [sp, #64]; ldp x27, x28, [sp, #80]; ldp x29, x30, [sp], #112; ret");

__attribute__((unused)) static size_t machine_vectors_size(void)
{
	return 32 * 16;
}

void machine_spin_vectors(void *values);
asm(".text; .balign 4; machine_spin_vectors:\n\t"
    "stp d8, d9, [sp, #-64]!; stp d10, d11, [sp, #16]; stp d12, d13, [sp, #32]\n\t"
    "stp d14, d15, [sp, #48]; adrp x1, test_terminated; add x1, x1, :lo12:test_terminated\n\t"
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
    "ldr q\\n, [x0, #\\n*16]\n.endr\n"
    "1: ldr w2, [x1]; cbz w2, 1b\n\t"
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
    "str q\\n, [x0, #\\n*16]\n.endr\n"
    "ldp d10, d11, [sp, #16]; ldp d12, d13, [sp, #32]; ldp d14, d15, [sp, #48]\n\t"
    "ldp d8, d9, [sp], #64; ret");

__attribute__((unused)) static uint64_t machine_float_control(void)
{
	uint64_t fpcr;

	asm volatile("mrs %0, fpcr" : "=r"(fpcr));
	return fpcr;
}

/* Rounds toward zero and flushes denormals to zero. */
__attribute__((unused)) static void machine_set_float_control(void)
{
	asm volatile("msr fpcr, %0" : : "r"(3ul << 22 | 1ul << 24));
}

#elif defined(__mips64) && defined(__MIPSEL__)

#define MACHINE_ANSWER { 0x08, 0x00, 0xe0, 0x03, 0x2a, 0x00, 0x02, 0x24 } /* jr ra; li v0, 42 */

/* $1..$25, gp, fp, lo and hi. The kernel does not keep $26 and $27; ra and sp do the work. */
#define MACHINE_GPRS 29

/* gcc has no naked functions on this machine. The flag's address is an argument, as gp is not free to find it. */
void machine_spin_words(uint64_t *values, const uint32_t *flag);
asm(".text; .align 3; .globl machine_spin_words; .type machine_spin_words, @function\n"
    "machine_spin_words:\n\t"
    ".set push; .set noreorder; .set noat\n\t"
    "daddiu $29, $29, -112; sd $28, 64($29); sd $30, 72($29); sd $31, 80($29); sd $4, 88($29); sd $5, 96($29)\n\t"
    ".irp n,16,17,18,19,20,21,22,23\nsd $\\n, \\n*8-128($29)\n.endr\n\t"
    "move $31, $4; ld $1, 216($31); mtlo $1; ld $1, 224($31); mthi $1; ld $28, 200($31); ld $30, 208($31)\n\t"
    ".irp n,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25\n"
    "ld $\\n, \\n*8-8($31)\n.endr\n"
    "1: ld $31, 96($29); lw $31, 0($31); beqz $31, 1b; nop; ld $31, 88($29)\n\t"
    ".irp n,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25\n"
    "sd $\\n, \\n*8-8($31)\n.endr\n\t"
    "sd $28, 200($31); sd $30, 208($31); mflo $1; sd $1, 216($31); mfhi $1; sd $1, 224($31)\n\t"
    ".irp n,16,17,18,19,20,21,22,23\nld $\\n, \\n*8-128($29)\n.endr\n\t"
    "ld $28, 64($29); ld $30, 72($29); ld $31, 80($29); jr $31; daddiu $29, $29, 112\n\t"
    ".set pop; .size machine_spin_words, . - machine_spin_words");

__attribute__((unused)) static void machine_spin_gprs(uint64_t *values)
{
	machine_spin_words(values, &test_terminated);
}

/* $f0..$f31. */
__attribute__((unused)) static size_t machine_vectors_size(void)
{
	return 32 * 8;
}

void machine_spin_floats(void *values, const uint32_t *flag);
asm(".text; .align 3; .globl machine_spin_floats; .type machine_spin_floats, @function\n"
    "machine_spin_floats:\n\t"
    ".set push; .set noreorder; daddiu $29, $29, -64\n\t"
    ".irp n,24,25,26,27,28,29,30,31\nsdc1 $f\\n, \\n*8-192($29)\n.endr\n\t"
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
    "ldc1 $f\\n, \\n*8($4)\n.endr\n"
    "1: lw $2, 0($5); beqz $2, 1b; nop\n\t"
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
    "sdc1 $f\\n, \\n*8($4)\n.endr\n\t"
    ".irp n,24,25,26,27,28,29,30,31\nldc1 $f\\n, \\n*8-192($29)\n.endr\n\t"
    "jr $31; daddiu $29, $29, 64; .set pop; .size machine_spin_floats, . - machine_spin_floats");

__attribute__((unused)) static void machine_spin_vectors(void *values)
{
	machine_spin_floats(values, &test_terminated);
}

/* FCSR without causes and flags, which are results and not modes. */
__attribute__((unused)) static uint64_t machine_float_control(void)
{
	uint32_t fcsr;

	asm volatile("cfc1 %0, $31" : "=r"(fcsr));
	return fcsr & ~0x3f07cu;
}

/* Rounds toward zero and flushes denormals to zero. */
__attribute__((unused)) static void machine_set_float_control(void)
{
	asm volatile("ctc1 %0, $31" : : "r"(1u << 24 | 1));
}

#elif defined(__arm__)

#include <sys/auxv.h>

#define MACHINE_CODE __attribute__((target("arm"))) /* which the answer is; Thumb code has another form */
#define MACHINE_ANSWER { 0x2a, 0x00, 0xa0, 0xe3, 0x1e, 0xff, 0x2f, 0xe1 } /* mov r0, #42; bx lr */

/* r0..r10 and r12; r11 and lr look for the end. In ARM code, as all else is in Thumb code. */
#define MACHINE_GPRS 12

#define MACHINE_FIND_END                                                                                            \
	"movw lr, #:lower16:(test_terminated - (2f + 8)); movt lr, #:upper16:(test_terminated - (2f + 8))\n"         \
	"2: add lr, pc, lr\n\t"
#define MACHINE_SPIN "1: ldr r11, [lr]; cmp r11, #0; beq 1b\n\t"

/* A register has 32 bits; the high halves of the values stay where they are. */
__attribute__((naked, noinline, unused, target("arm"))) static void machine_spin_gprs(uint64_t *values)
{
	(void)values; /* r0 */
	asm volatile("push {r0, r4-r11, lr}\n\t" MACHINE_FIND_END
		     ".irp n,1,2,3,4,5,6,7,8,9,10\nldr r\\n, [r0, #\\n*8]\n.endr\n"
		     "ldr r12, [r0, #88]; ldr r0, [r0]\n\t" MACHINE_SPIN "ldr r11, [sp]\n\t"
		     ".irp n,0,1,2,3,4,5,6,7,8,9,10\nstr r\\n, [r11, #\\n*8]\n.endr\n"
		     "str r12, [r11, #88]; pop {r0, r4-r11, pc}");
}

/* d0..d31, or d0..d15 where there are no others. */
__attribute__((unused)) static size_t machine_vectors_size(void)
{
	return getauxval(AT_HWCAP) & HWCAP_ARM_VFPD32 ? 32 * 8 : 16 * 8;
}

__attribute__((naked, noinline, unused, target("arm"))) static void machine_spin_all_vectors(void *values)
{
	(void)values;
	asm volatile(".fpu vfpv3\n\t"
		     "push {r0, r4-r11, lr}; vpush {d8-d15}\n\t" MACHINE_FIND_END
		     "vldmia r0!, {d0-d15}; vldmia r0, {d16-d31}; sub r0, r0, #128\n\t" MACHINE_SPIN
		     "vstmia r0!, {d0-d15}; vstmia r0, {d16-d31}; vpop {d8-d15}; pop {r0, r4-r11, pc}\n\t"
		     ".fpu vfpv3-d16");
}

__attribute__((naked, noinline, unused, target("arm"))) static void machine_spin_half_vectors(void *values)
{
	(void)values;
	asm volatile("push {r0, r4-r11, lr}; vpush {d8-d15}\n\t" MACHINE_FIND_END
		     "vldmia r0, {d0-d15}\n\t" MACHINE_SPIN
		     "vstmia r0, {d0-d15}; vpop {d8-d15}; pop {r0, r4-r11, pc}");
}

__attribute__((unused)) static void machine_spin_vectors(void *values)
{
	if (machine_vectors_size() == 32 * 8)
		machine_spin_all_vectors(values);
	else
		machine_spin_half_vectors(values);
}

/* The rest of FPSCR are results. */
#define MACHINE_FPSCR_MODES 0x03c00000u

__attribute__((unused)) static uint64_t machine_float_control(void)
{
	uint32_t fpscr;

	asm volatile("vmrs %0, fpscr" : "=r"(fpscr));
	return fpscr & MACHINE_FPSCR_MODES;
}

/* Rounds toward zero and flushes denormals to zero. */
__attribute__((unused)) static void machine_set_float_control(void)
{
	asm volatile("vmsr fpscr, %0" : : "r"(3u << 22 | 1u << 24));
}

#else

#include <fenv.h>

/* A few of them, as there is no code for all. */
#define MACHINE_GPRS 4

__attribute__((noinline, unused)) static void machine_spin_gprs(uint64_t *values)
{
	unsigned long a = values[0], b = values[1], c = values[2], d = values[3];

	while (!__atomic_load_n(&test_terminated, __ATOMIC_RELAXED))
		asm volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
	/* A word of 32 bits cannot hold the high half of a value; the caller's is kept. */
	values[0] = (values[0] & ~(uint64_t)~0ul) | a;
	values[1] = (values[1] & ~(uint64_t)~0ul) | b;
	values[2] = (values[2] & ~(uint64_t)~0ul) | c;
	values[3] = (values[3] & ~(uint64_t)~0ul) | d;
}

__attribute__((unused)) static size_t machine_vectors_size(void)
{
	return 4 * sizeof(double);
}

/* Doubles turn in a circle of length four, so that they live in registers and are used all the time. */
__attribute__((noinline, unused)) static void machine_spin_vectors(void *values)
{
	double circle[4], first;

	/* Any bit pattern but those of signaling NaNs is moved unchanged. */
	memcpy(circle, values, sizeof(circle));
	while (!__atomic_load_n(&test_terminated, __ATOMIC_RELAXED)) {
		for (int turn = 0; turn < 4; turn++) {
			first = circle[0];
			circle[0] = circle[1];
			circle[1] = circle[2];
			circle[2] = circle[3];
			circle[3] = first;
		}
	}
	memcpy(values, circle, sizeof(circle));
}

__attribute__((unused)) static uint64_t machine_float_control(void)
{
	return fegetround();
}

/* Rounds toward zero. */
__attribute__((unused)) static void machine_set_float_control(void)
{
	check(fesetround(FE_TOWARDZERO) == 0, "fesetround");
}

#endif

#ifndef MACHINE_CODE
#define MACHINE_CODE
#endif
#endif
