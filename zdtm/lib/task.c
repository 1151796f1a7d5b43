/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Children and the barriers on which they wait for each other. */
#include "zdtm.h"

#include <limits.h>
#include <linux/futex.h>

struct barrier *barrier_new(void)
{
	void *page = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	check(page != MAP_FAILED, "mmap of a barrier");
	return page;
}

void barrier_post(struct barrier *barrier)
{
	__atomic_add_fetch(&barrier->count, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &barrier->count, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void barrier_wait(struct barrier *barrier, uint32_t count)
{
	uint32_t now;
	int saved = errno;

	while ((now = __atomic_load_n(&barrier->count, __ATOMIC_SEQ_CST)) < count)
		syscall(SYS_futex, &barrier->count, FUTEX_WAIT, now, NULL, NULL, 0);
	errno = saved;
}

pid_t test_fork(int (*body)(void *), void *argument)
{
	pid_t child = fork();

	check(child >= 0, "fork");
	if (child == 0)
		exit(body(argument));
	return child;
}

void wait_asleep(pid_t pid)
{
	char path[32], state[64];

	snprintf(path, sizeof(path), "%d/status", pid);
	do {
		usleep(1000);
		proc_field(path, "State", state, sizeof(state));
	} while (state[0] != 'S');
}

void test_join(pid_t child)
{
	int status;
	pid_t reaped;

	check(kill(child, SIGTERM) == 0, "kill child %d", child);
	do
		reaped = waitpid(child, &status, 0);
	while (reaped < 0 && errno == EINTR);
	check(reaped == child, "wait for child %d", child);
	errno = 0;
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child %d ended with wait status %#x", child, status);
}
