/*
 * A program that notices when it is disturbed. Each thread does one thing over and over and checks its outcome:
 *
 *   spin     general and vector registers hold what was put there, while no system call is made
 *   sleep    clock_nanosleep(2) takes its time and is not interrupted
 *   futex    a futex wait runs into its timeout and nothing else
 *   poll     a poll(2) of nothing likewise
 *   read     a byte arrives through a pipe, from the main thread, in order
 *
 * All of them block a set of signals of their own and check it. The main thread handles the ticks of an interval timer
 * on an alternate stack, checks a few MiB of memory and unread input of both ends of a pseudo terminal, and has a child with threads of the same kind. At SIGUSR1 it waits
 * until every thread of both processes has gone on, and writes "good" or the first thing that was wrong.
 *
 * usage: victim [catch-all] [alone] [no-terminal] [confined]     SIGUSR2: execute sleep(1) instead
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { SPIN, SLEEP, FUTEX, POLL, READ, THREADS };
enum { PROCESSES = 2, HEAP = 3 << 20, TICK_US = 10000, PATIENCE_MS = 10000 };

struct shared {
	atomic_int wrong;
	char what[240];
	atomic_ulong rounds[PROCESSES][THREADS];
	atomic_ulong ticks;
};

static struct shared *shared;
static int me;
static int pipe_fds[2];
static unsigned char *heap;
static char alternate_stack[64 << 10] __attribute__((aligned(64)));
static volatile sig_atomic_t asked, leave;

/* No stdio and no allocation once the program is ready: its mappings are compared. */
static void wrong(const char *what, long a, long b)
{
	if (atomic_exchange(&shared->wrong, 1) == 0)
		snprintf(shared->what, sizeof(shared->what), "process %d: %s (%ld, %ld)", me, what, a, b);
}

static long now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

#if defined(__x86_64__)
static void spin_once(void)
{
	static const uint64_t put[8] = { 0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666, 0x7777, 0x8888 };
	static _Thread_local uint64_t got[8], vector_put[4], vector_got[4];
	for (int i = 0; i < 4; i++)
		vector_put[i] = 0x0123456789abcdefULL * (i + 3);
	int avx = __builtin_cpu_supports("avx");
	__asm__ volatile(
		"test %[avx], %[avx]\n jz 1f\n vmovdqu (%[vput]), %%ymm7\n jmp 2f\n"
		"1: movdqu (%[vput]), %%xmm7\n"
		"2: mov 0(%[put]), %%r8\n mov 8(%[put]), %%r9\n mov 16(%[put]), %%r10\n mov 24(%[put]), %%r11\n"
		"mov 32(%[put]), %%r12\n mov 40(%[put]), %%r13\n mov 48(%[put]), %%r14\n mov 56(%[put]), %%r15\n"
		"mov $3000000, %%rcx\n stc\n"
		"3: dec %%rcx\n jnz 3b\n jnc 4f\n"
		"mov %%r8, 0(%[got])\n 4: mov %%r9, 8(%[got])\n mov %%r10, 16(%[got])\n mov %%r11, 24(%[got])\n"
		"mov %%r12, 32(%[got])\n mov %%r13, 40(%[got])\n mov %%r14, 48(%[got])\n mov %%r15, 56(%[got])\n"
		"test %[avx], %[avx]\n jz 5f\n vmovdqu %%ymm7, (%[vgot])\n vzeroupper\n jmp 6f\n"
		"5: movdqu %%xmm7, (%[vgot])\n 6:\n"
		: : [put] "S"(put), [got] "D"(got), [vput] "a"(vector_put), [vgot] "d"(vector_got), [avx] "b"(avx)
		: "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm7", "memory", "cc");
	if (memcmp(put, got, sizeof(put)))
		wrong("general registers or flags changed", got[0], got[7]);
	if (memcmp(vector_put, vector_got, avx ? 32 : 16))
		wrong("vector registers changed", vector_got[0], vector_got[3]);
	memset(got, 0, sizeof(got));
	memset(vector_got, 0, sizeof(vector_got));
}
#else
static void spin_once(void)
{
	volatile double product = 1.0;
	for (int i = 0; i < 3000000; i++)
		product *= 1.0000001;
	if (product < 1.3 || product > 1.4)
		wrong("floating point changed", (long)product, 0);
}
#endif

static void check_time(const char *what, long started, long least)
{
	long took = now_us() - started;
	if (took < least)
		wrong(what, took, least);
}

static void sleep_once(void)
{
	struct timespec time = { 0, 20000000 };
	long started = now_us();
	int error = clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
	if (error)
		wrong("clock_nanosleep was interrupted", error, 0);
	check_time("clock_nanosleep was short", started, 20000);
}

static void futex_once(void)
{
	static uint32_t word[PROCESSES];
	struct timespec time = { 0, 25000000 };
	long started = now_us();
	long ret = syscall(SYS_futex, &word[me], FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0);
	if (ret != -1 || errno != ETIMEDOUT)
		wrong("a futex wait was interrupted", ret, errno);
	check_time("a futex wait was short", started, 25000);
}

static void poll_once(void)
{
	long started = now_us();
	int ret = poll(NULL, 0, 15);
	if (ret != 0)
		wrong("poll was interrupted", ret, errno);
	check_time("poll was short", started, 15000);
}

static void read_once(void)
{
	static unsigned char expected;
	unsigned char got = 0;
	ssize_t ret = read(pipe_fds[0], &got, 1);
	if (ret != 1 || got != expected)
		wrong("a pipe's byte was lost", ret == 1 ? got : -errno, expected);
	expected = got + 1;
}

static int confined;

/* From here on the kernel kills the process at any call that the program itself does not make. */
static void confine(void)
{
	static const int own[] = {
		SYS_read, SYS_write, SYS_clock_nanosleep, SYS_futex, SYS_ppoll, SYS_rt_sigprocmask, SYS_rt_sigreturn,
		SYS_sigaltstack, SYS_getitimer, SYS_exit_group, SYS_seccomp,
#ifdef SYS_poll
		SYS_poll,
#endif
#ifdef SYS_pause
		SYS_pause,
#endif
	};
	enum { COUNT = sizeof(own) / sizeof(own[0]) };
	struct sock_filter steps[COUNT + 3];
	struct sock_fprog program = { COUNT + 3, steps };
	if (!confined)
		return;
	steps[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (int i = 0; i < COUNT; i++)
		steps[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, own[i], COUNT - i, 0);
	steps[COUNT + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	steps[COUNT + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		_exit(5);
}

static void mask_of(int thread, sigset_t *mask)
{
	sigfillset(mask);
	sigdelset(mask, SIGRTMIN + 10 + thread);
}

static void check_mask(const sigset_t *expected)
{
	sigset_t mask;
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	for (int signal = 1; signal <= SIGRTMAX; signal++)
		if (signal != SIGKILL && signal != SIGSTOP && sigismember(&mask, signal) != sigismember(expected, signal)
		    && (signal < 32 || signal >= SIGRTMIN))
			wrong("the signal mask changed", signal, 0);
}

static void *thread_main(void *arg)
{
	static void (*const once[THREADS])(void) = { spin_once, sleep_once, futex_once, poll_once, read_once };
	int thread = (int)(intptr_t)arg;
	sigset_t mask, kept;
	mask_of(thread, &mask);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	pthread_sigmask(SIG_BLOCK, NULL, &kept);
	confine();
	for (;;) {
		once[thread]();
		check_mask(&kept);
		atomic_fetch_add(&shared->rounds[me][thread], 1);
	}
	return NULL;
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	char here;
	(void)context;
	if (signal == SIGALRM) {
		atomic_fetch_add(&shared->ticks, 1);
		if (&here < alternate_stack || &here >= alternate_stack + sizeof(alternate_stack))
			wrong("a handler ran elsewhere than on the alternate stack", 0, 0);
	} else if (signal == SIGUSR1) {
		asked = 1;
	} else if (signal == SIGUSR2) {
		leave = 1;
	} else if (signal != SIGCONT) {
		wrong("an unexpected signal", signal, info->si_code);
	}
}

static int master, slave;

/* Leaves unread input at both ends. */
static void fill_terminal(void)
{
	if (write(master, "to the slave", 12) != 12 || write(slave, "to the master", 13) != 13)
		wrong("the terminal could not be written", errno, 0);
}

static int open_terminal(void)
{
	struct termios settings;
	master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	if (master < 0 || grantpt(master) || unlockpt(master))
		return -1;
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_NONBLOCK);
	if (slave < 0 || tcgetattr(slave, &settings))
		return -1;
	cfmakeraw(&settings);
	if (tcsetattr(slave, TCSANOW, &settings))
		return -1;
	fill_terminal();
	return 0;
}

static void check_unread(int fd, const char *expected)
{
	char got[32] = "";
	size_t len = 0;
	for (int waited = 0; len < strlen(expected) && waited < 3000; waited++) {
		ssize_t ret = read(fd, got + len, sizeof(got) - 1 - len);
		len += ret > 0 ? ret : 0;
		if (len < strlen(expected))
			poll(NULL, 0, 1);
	}
	if (strcmp(got, expected))
		wrong(expected, len, got[0]);
}

static unsigned char heap_byte(size_t at)
{
	return (unsigned char)(at * 2654435761u >> 13);
}

static void check_state(const sigset_t *mask, const stack_t *stack)
{
	stack_t now;
	struct itimerval timer;
	for (size_t at = 0; at < HEAP; at++)
		if (heap[at] != heap_byte(at)) {
			wrong("memory changed", at, heap[at]);
			break;
		}
	sigaltstack(NULL, &now);
	if (now.ss_sp != stack->ss_sp || now.ss_size != stack->ss_size || now.ss_flags != stack->ss_flags)
		wrong("the alternate stack changed", now.ss_flags, now.ss_size);
	getitimer(ITIMER_REAL, &timer);
	if (timer.it_interval.tv_usec != TICK_US || timer.it_interval.tv_sec)
		wrong("the interval timer changed", timer.it_interval.tv_sec, timer.it_interval.tv_usec);
	check_mask(mask);
	if (!slave)
		return;
	check_unread(slave, "to the slave");
	check_unread(master, "to the master");
	fill_terminal();
}

/* Every thread of both processes, and the timer, must go on. */
static void check_progress(int processes)
{
	unsigned long before[PROCESSES][THREADS], ticks = atomic_load(&shared->ticks);
	for (int p = 0; p < processes; p++)
		for (int t = 0; t < THREADS; t++)
			before[p][t] = atomic_load(&shared->rounds[p][t]);
	unsigned char byte = 0;
	static unsigned char next;
	byte = next++;
	if (write(pipe_fds[1], &byte, 1) != 1)
		wrong("the pipe could not be written", errno, 0);
	for (long started = now_us();;) {
		int behind = 0, who = 0;
		for (int p = 0; p < processes; p++)
			for (int t = 0; t < THREADS; t++)
				if ((p == 0 || t != READ) && atomic_load(&shared->rounds[p][t]) < before[p][t] + 1) {
					behind++;
					who = p * THREADS + t;
				}
		if (!behind && atomic_load(&shared->ticks) > ticks)
			return;
		if (now_us() - started > PATIENCE_MS * 1000L) {
			wrong("a thread or the timer stands still", behind, who);
			return;
		}
		usleep(500);
	}
}

static void answer(void)
{
	const char *text = atomic_load(&shared->wrong) ? shared->what : "good";
	if (write(1, text, strlen(text)) < 0 || write(1, "\n", 1) < 0)
		_exit(3);
}

/* The pipe has one reader. */
static void start_threads(int count)
{
	for (int thread = 0; thread < count; thread++) {
		pthread_t id;
		if (pthread_create(&id, NULL, thread_main, (void *)(intptr_t)thread))
			_exit(4);
	}
}

static void handle_signals(int all)
{
	/* Without SA_NODEFER the mask that /proc shows would change during a handler. */
	struct sigaction action = { .sa_sigaction = on_signal };
	action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER;
	for (int signal = 1; signal <= SIGRTMAX; signal++)
		if (all || signal == SIGALRM || signal == SIGUSR1 || signal == SIGUSR2)
			sigaction(signal, &action, NULL);
}

int main(int argc, char **argv)
{
	int all = 0, alone = 0, terminal = 1;
	for (int i = 1; i < argc; i++) {
		all |= !strcmp(argv[i], "catch-all");
		alone |= !strcmp(argv[i], "alone");
		terminal &= strcmp(argv[i], "no-terminal") != 0;
		confined |= !strcmp(argv[i], "confined");
	}
	setsid();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	heap = mmap(NULL, HEAP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ghost = open("ghost", O_RDWR | O_CREAT | O_APPEND, 0600);
	if (shared == MAP_FAILED || heap == MAP_FAILED || pipe(pipe_fds) || ghost < 0 || unlink("ghost"))
		return 2;
	if (write(ghost, "unlinked", 8) != 8 || (terminal && open_terminal()))
		return 2;
	for (size_t at = 0; at < HEAP; at++)
		heap[at] = heap_byte(at);
	if (!alone && fork() == 0) {
		me = 1;
		start_threads(READ);
		confine();
		for (;;)
			pause();
	}
	sigset_t mask;
	sigfillset(&mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	stack_t stack = { .ss_sp = alternate_stack, .ss_size = sizeof(alternate_stack) };
	sigaltstack(&stack, NULL);
	sigaltstack(NULL, &stack);
	start_threads(THREADS);
	handle_signals(all);
	sigemptyset(&mask);
	sigaddset(&mask, SIGRTMIN + 3);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	struct itimerval timer = { { 0, TICK_US }, { 0, TICK_US } };
	setitimer(ITIMER_REAL, &timer, NULL);
	confine();
	check_progress(alone ? 1 : 2);
	answer();
	for (;;) {
		usleep(2000);
		if (leave) {
			signal(SIGALRM, SIG_IGN);
			execlp("sleep", "sleep", "1000", NULL);
		}
		if (asked) {
			asked = 0;
			check_state(&mask, &stack);
			check_progress(alone ? 1 : 2);
			answer();
		}
	}
}
