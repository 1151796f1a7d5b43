/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* SEM_UNDO: a child has a semaphore as a mutex, has taken from one and given to others, which its end undoes. */
#include "zdtm.h"

#include <sys/sem.h>

enum { MUTEX, TAKEN, GIVEN, MOST, BALANCED, PLAIN, COUNT };

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
	change(MUTEX, -1, SEM_UNDO);
	change(TAKEN, -1234, SEM_UNDO);
	change(GIVEN, 1, SEM_UNDO);
	change(MOST, 32767, SEM_UNDO);
	change(BALANCED, 3, SEM_UNDO);
	change(BALANCED, -3, SEM_UNDO);
	change(PLAIN, -1, 0);
	barrier_post(ready);
	test_waitsig();
	return 0;
}

int main(int argc, char **argv)
{
	/* While the child has them, and after it. */
	static const int during[COUNT] = { 0, 5, 1, 32767, 6, 8 };
	static const int after[COUNT] = { 1, 1239, 0, 0, 6, 8 };
	static const int before[COUNT] = { 1, 1239, 0, 0, 6, 9 };
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	id = semget(IPC_PRIVATE, COUNT, IPC_CREAT | 0600);
	check(id >= 0, "semget");
	for (int number = 0; number < COUNT; number++)
		check(semctl(id, number, SETVAL, before[number]) == 0, "SETVAL");
	pid = test_fork(child, NULL);
	barrier_wait(ready, 1);

	test_daemon();
	test_waitsig();

	for (int number = 0; number < COUNT; number++)
		check(semctl(id, number, GETVAL) == during[number], "semaphore %d is %d, not %d", number,
		      semctl(id, number, GETVAL), during[number]);
	test_join(pid);
	for (int number = 0; number < COUNT; number++)
		check(semctl(id, number, GETVAL) == after[number], "semaphore %d is %d in the end, not %d", number,
		      semctl(id, number, GETVAL), after[number]);
	check(semctl(id, 0, IPC_RMID) == 0, "IPC_RMID");
	return pass();
}
