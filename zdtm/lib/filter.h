/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Seccomp filters, as lists of steps:
 *
 *	struct sock_filter steps[] = { OWN_CALLS, ANSWER(SYS_uname, SECCOMP_RET_ERRNO | EACCES), OTHERS(SECCOMP_RET_ALLOW) };
 *	filter_set(0, steps, ARRAY_SIZE(steps));
 */
#ifndef FILTER_H
#define FILTER_H

#include "zdtm.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#elif defined(__arm__)
#define OWN_ARCH AUDIT_ARCH_ARM
#elif defined(__mips64)
#define OWN_ARCH AUDIT_ARCH_MIPSEL64
#endif

/* Kills the process at calls of another machine, and has the number of the call at hand. */
#define OWN_CALLS                                                                                                   \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),                                    \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCH, 1, 0), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL),   \
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
/* The answer to one call. */
#define ANSWER(number, answer) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, answer)
/* The answer to all others; the last step. */
#define OTHERS(answer) BPF_STMT(BPF_RET | BPF_K, answer)

/* Sets a filter for this thread; it must have promised no_new_privs, or be allowed to do without. 0, or -1 and errno. */
static inline int filter_set(unsigned int flags, struct sock_filter *steps, size_t count)
{
	struct sock_fprog program = { .len = count, .filter = steps };

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

/* The same after the promise. */
static inline int filter_promise(struct sock_filter *steps, size_t count)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? filter_set(0, steps, count) : -1;
}

/* Two pipes, by which this process talks with one that can do little more than read and write. */
struct talk {
	int to[2], from[2];
};

/* Has the child say back what it is told: a byte. Returns that, or -1 when it has gone. */
static inline int talk_ask(const struct talk *talk, char byte)
{
	char answer;

	if (write(talk->to[1], &byte, 1) != 1 || read(talk->from[0], &answer, 1) != 1)
		return -1;
	return answer;
}

/* The child's side: says 'r', answers each byte, and at a 'q' returns. */
static inline void talk_answer(const struct talk *talk)
{
	char byte = 'r';

	while (write(talk->from[1], &byte, 1) == 1 && read(talk->to[0], &byte, 1) == 1 && byte != 'q')
		;
}

#endif
