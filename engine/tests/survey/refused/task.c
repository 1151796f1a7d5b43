/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Processes and threads: what they share, who else has a hand on them, what filters their system calls. */
#include "lib.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

static int stay_in_clone(void *unused)
{
	(void)unused;
	stay();
	return 0;
}

static void share(int flags)
{
	char *stack = malloc(65536);

	need(stack && clone(stay_in_clone, stack + 65536, flags | SIGCHLD, NULL) > 0);
}

static void memory(void)
{
	share(CLONE_VM);
}

static void pending_vfork(void)
{
	if (vfork() == 0)
		stay();
}

/* The first sibling leaves the table of its parent, the second shares with the first alone. */
static void table_of_siblings(void)
{
	if (fork() == 0) {
		share(CLONE_FILES | CLONE_PARENT);
		stay();
	}
}

/* The tree is a child of this process, which has not asked for its exit code. */
static void ended(void)
{
	siginfo_t info;

	root = fork();
	if (root == 0)
		_exit(0);
	need(waitid(P_PID, root, &info, WEXITED | WNOWAIT) == 0);
}

static void *with_own_table(void *born)
{
	need(unshare(CLONE_FILES) == 0);
	/* While a thread is born, its creator blocks all signals. */
	while (!__atomic_load_n((int *)born, __ATOMIC_ACQUIRE))
		usleep(1000);
	stay();
	return NULL;
}

static void *after_the_leader(void *unused)
{
	sleep(1);
	stay();
	return unused;
}

static void table_of_thread(void)
{
	static int born;
	pthread_t thread;

	need(pthread_create(&thread, NULL, with_own_table, &born) == 0);
	__atomic_store_n(&born, 1, __ATOMIC_RELEASE);
}

static void leader_ended(void)
{
	pthread_t thread;

	need(pthread_create(&thread, NULL, after_the_leader, NULL) == 0);
	pthread_exit(NULL);
}

/* Asks for each sync(2), whose listener nobody answers. */
static void seccomp_listener(void)
{
	struct sock_filter ask[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sync, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { 4, ask };
	int listener;

	need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
	/* It is as if a supervisor had it. */
	need(listener >= 0 && close(listener) == 0);
}

static void traced(void)
{
	pid_t pid = fork();

	/* It does not say that it is ready: it is when it is traced. */
	while (pid == 0)
		pause();
	need(ptrace(PTRACE_SEIZE, pid, 0, 0) == 0);
}

/* Calls from everywhere but this range would give SIGSYS if the selector said so. */
static void call_dispatch(void)
{
	static char selector;

	need(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector) == 0);
}

static void namespace(void)
{
	need(unshare(CLONE_NEWUTS) == 0);
}

static void *in_own_namespace(void *unused)
{
	need(unshare(CLONE_NEWUTS) == 0);
	stay();
	return unused;
}

static void namespace_of_thread(void)
{
	pthread_t thread;

	need(pthread_create(&thread, NULL, in_own_namespace, NULL) == 0);
}

/* The first child will be its init process; there is none yet. */
static void namespace_of_children(void)
{
	need(unshare(CLONE_NEWPID) == 0);
}

/* The tree is a child of this process, and has left the session in which its own child is. */
static void session_outside(void)
{
	if (fork() != 0)
		return;
	root = getpid();
	if (fork() == 0) {
		while (getsid(root) != root)
			usleep(1000);
		stay();
	}
	need(setsid() > 0);
}

/* The tree is a child of this process, and so is the group of its own child. */
static void group_outside(void)
{
	if (fork() != 0)
		return;
	root = getpid();
	need(setpgid(0, 0) == 0);
	if (fork() == 0) {
		need(setpgid(0, getsid(0)) == 0);
		stay();
	}
}

const struct thing task_things[] = {
	{ "shared memory", memory, 1 },
	{ "pending vfork", pending_vfork, 1 },
	{ "siblings' table", table_of_siblings, 1 },
	{ "thread's table", table_of_thread, 1 },
	{ "leader ended", leader_ended, 1 },
	{ "ended", ended, 0 },
	{ "seccomp listener", seccomp_listener, 0 },
	{ "traced", traced, 0 },
	{ "call dispatch", call_dispatch, 0 },
	{ "namespace", namespace, 0 },
	{ "thread's namespace", namespace_of_thread, 1 },
	{ "children's namespace", namespace_of_children, 0 },
	{ "session outside", session_outside, 1 },
	{ "group outside", group_outside, 1 },
	{ NULL, NULL, 0 },
};
