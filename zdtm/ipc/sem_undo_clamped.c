/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the end of a process cannot undo, because a semaphore is 0 or full, does not come twice. */
#include "zdtm.h"

#include <sys/sem.h>

enum { USED_UP, PARTLY, FULL, COUNT, MOST = 32767 };

static struct barrier *ready;
static int id;

static void change(int number, int by, int flags)
{
	struct sembuf operation = { .sem_num = number, .sem_op = by, .sem_flg = flags | IPC_NOWAIT };

	check(semop(id, &operation, 1) == 0, "semop of %d by %d", number, by);
}

static int child(void *argument)
{
	(void)argument;
	change(USED_UP, 20000, SEM_UNDO);
	change(PARTLY, 5, SEM_UNDO);
	change(FULL, -7, SEM_UNDO);
	barrier_post(ready);
	test_waitsig();
	return 0;
}

static void expect(const char *when, int used_up, int partly, int full)
{
	const int wanted[COUNT] = { used_up, partly, full };

	for (int number = 0; number < COUNT; number++)
		check(semctl(id, number, GETVAL) == wanted[number], "%s, semaphore %d is %d, not %d", when, number,
		      semctl(id, number, GETVAL), wanted[number]);
}

int main(int argc, char **argv)
{
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	id = semget(IPC_PRIVATE, COUNT, IPC_CREAT | 0600);
	check(id >= 0 && semctl(id, FULL, SETVAL, MOST) == 0, "semget");
	pid = test_fork(child, NULL);
	barrier_wait(ready, 1);
	change(USED_UP, -20000, 0);
	change(PARTLY, -2, 0);
	change(FULL, 7, 0);
	expect("at first", 0, 3, MOST);

	test_daemon();
	test_waitsig();

	expect("after the restore", 0, 3, MOST);
	change(USED_UP, 20001, 0);
	change(FULL, -10, 0);
	test_join(pid);
	expect("in the end", 1, 0, MOST - 3);
	check(semctl(id, 0, IPC_RMID) == 0, "IPC_RMID");
	return pass();
}
