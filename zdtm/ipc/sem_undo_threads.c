/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Threads undo together: what one has taken with SEM_UNDO comes back when the process ends, and not before. */
#include "zdtm.h"

#include <pthread.h>
#include <sys/sem.h>

static struct barrier *ready;
static int id;

static void change(int by)
{
	struct sembuf operation = { .sem_op = by, .sem_flg = SEM_UNDO | IPC_NOWAIT };

	check(semop(id, &operation, 1) == 0, "semop by %d", by);
}

static void *thread(void *argument)
{
	change(-2);
	barrier_post(ready);
	barrier_wait(ready, 2);
	return argument;
}

static int child(void *argument)
{
	pthread_t other;

	(void)argument;
	check(pthread_create(&other, NULL, thread, NULL) == 0, "pthread_create");
	test_waitsig();
	barrier_post(ready);
	check(pthread_join(other, NULL) == 0, "pthread_join");
	check(semctl(id, 0, GETVAL) == 3, "a thread has undone: %d", semctl(id, 0, GETVAL));
	/* The process knows what its thread has taken. */
	change(2);
	change(-1);
	return 0;
}

int main(int argc, char **argv)
{
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	id = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
	check(id >= 0 && semctl(id, 0, SETVAL, 5) == 0, "semget");
	pid = test_fork(child, NULL);
	barrier_wait(ready, 1);

	test_daemon();
	test_waitsig();

	check(semctl(id, 0, GETVAL) == 3, "the semaphore is %d", semctl(id, 0, GETVAL));
	test_join(pid);
	check(semctl(id, 0, GETVAL) == 5, "the semaphore is %d in the end", semctl(id, 0, GETVAL));
	check(semctl(id, 0, IPC_RMID) == 0, "IPC_RMID");
	return pass();
}
