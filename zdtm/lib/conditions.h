/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Code that depends, at each of its instructions, on what the processor knows besides its registers: condition flags;
 * Thumb's IT blocks, which make the next four instructions conditional; the delay slot of a MIPS branch.
 *
 *	machine_spin_conditions(flag)	runs until *flag, and returns 0; 1 as soon as a condition was not kept
 */
#ifndef CONDITIONS_H
#define CONDITIONS_H

#include <stdint.h>

int machine_spin_conditions(const uint32_t *flag);

#if defined(__x86_64__)

asm(".text; .balign 16; machine_spin_conditions:\n"
    "1: stc; .rept 32; nop; .endr; jnc 2f\n\t"
    "clc; .rept 32; nop; .endr; jc 2f\n\t"
    "cmpl $0, (%rdi); je 1b; xor %eax, %eax; ret\n"
    "2: mov $1, %eax; ret");

#elif defined(__aarch64__)

asm(".text; .balign 4; machine_spin_conditions:\n"
    "1: cmp xzr, xzr; .rept 32; nop; .endr; b.ne 2f\n\t"
    "cmn sp, #1; .rept 32; nop; .endr; b.eq 2f\n\t"
    "ldr w1, [x0]; cbz w1, 1b; mov w0, #0; ret\n"
    "2: mov w0, #1; ret");

#elif defined(__mips64)

asm(".text; .align 3; .globl machine_spin_conditions; .type machine_spin_conditions, @function\n"
    "machine_spin_conditions:\n\t"
    ".set push; .set noreorder\n"
    "1: move $2, $0; .rept 16; beq $0, $0, . + 12; addiu $2, $2, 1; addiu $2, $2, 100; .endr\n\t"
    "addiu $2, $2, -16; bne $2, $0, 2f; nop; lw $3, 0($4); beq $3, $0, 1b; nop; jr $31; nop\n"
    "2: jr $31; li $2, 1\n\t"
    ".set pop; .size machine_spin_conditions, . - machine_spin_conditions");

#elif defined(__arm__)

/*
 * The block is on the border of two pages, where an emulator that translates a page at a time looks for interrupts, too:
 * the first two of its four instructions are on one page, the other two on the next.
 */
asm(".pushsection .text.conditions, \"ax\", %progbits; .balign 4096; .space 4096 - 14\n\t"
    ".syntax unified; .thumb; .globl machine_spin_conditions; .type machine_spin_conditions, %function\n"
    "machine_spin_conditions:\n"
    "1: movs r1, #0; cmp r1, r1\n\t"
    "itete ne; addne.w r1, r1, #1; addeq.w r1, r1, #2; addne.w r1, r1, #4; addeq.w r1, r1, #8\n\t"
    "cmp r1, #10; bne 2f; ldr r1, [r0]; cmp r1, #0; beq 1b; movs r0, #0; bx lr\n"
    "2: movs r0, #1; bx lr\n\t"
    ".popsection");

#else
#error "no code for this machine"
#endif
#endif
