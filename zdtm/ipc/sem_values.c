/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A semaphore set stays in the kernel: values, the processes of the last operations and the key. */
#include "zdtm.h"

#include <sys/sem.h>

enum { COUNT = 70 };

static int user(void *id)
{
	struct sembuf up = { .sem_num = 69, .sem_op = 5 };

	return semop(*(int *)id, &up, 1) != 0;
}

int main(int argc, char **argv)
{
	int id, exit_code;
	pid_t pid;
	key_t key;

	test_init(argc, argv);
	key = 0x5c000000 | getpid();
	id = semget(key, COUNT, IPC_CREAT | IPC_EXCL | 0640);
	check(id >= 0, "semget");
	check(semctl(id, 3, SETVAL, 17) == 0 && semctl(id, 68, SETVAL, 32767) == 0, "SETVAL");
	pid = test_fork(user, &id);
	check(waitpid(pid, &exit_code, 0) == pid && exit_code == 0, "the other user has failed");

	test_daemon();
	test_waitsig();

	check(semget(key, COUNT, 0) == id, "the key leads to set %d", semget(key, COUNT, 0));
	check(semctl(id, 3, GETVAL) == 17 && semctl(id, 68, GETVAL) == 32767, "the values are %d and %d",
	      semctl(id, 3, GETVAL), semctl(id, 68, GETVAL));
	check(semctl(id, 69, GETVAL) == 5 && semctl(id, 0, GETVAL) == 0, "the last value is %d", semctl(id, 69, GETVAL));
	check(semctl(id, 3, GETPID) == getpid() && semctl(id, 69, GETPID) == pid, "other processes used it: %d, %d",
	      semctl(id, 3, GETPID), semctl(id, 69, GETPID));
	check(semctl(id, 0, IPC_RMID) == 0, "IPC_RMID");
	return pass();
}
