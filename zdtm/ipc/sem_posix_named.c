/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A named POSIX semaphore (sem_open(3)) that one process has made and another waits for. Who makes one has it mapped by
 * a name that is gone, beside the one that the semaphore has got, by which the other has opened it.
 */
#include "zdtm.h"

#include <fcntl.h>
#include <semaphore.h>

static int take(void *name)
{
	sem_t *semaphore = sem_open(name, 0);

	check(semaphore != SEM_FAILED, "sem_open %s", (char *)name);
	while (sem_wait(semaphore) == -1)
		check(errno == EINTR, "sem_wait");
	return 0;
}

/* Without the mapping that it has from its parent, which sem_open() would hand out again. */
static int count(void *name)
{
	char file[96];
	sem_t semaphore;
	int fd, value;

	snprintf(file, sizeof(file), "/dev/shm/sem.%s", (char *)name + 1);
	fd = open(file, O_RDONLY);
	check(fd >= 0 && read(fd, &semaphore, sizeof(semaphore)) == sizeof(semaphore), "read %s", file);
	check(sem_getvalue(&semaphore, &value) == 0 && value == 2, "its value is %d", value);
	return 0;
}

int main(int argc, char **argv)
{
	pid_t child, fresh;
	sem_t *semaphore;
	char name[64];
	int status;

	test_init(argc, argv);
	snprintf(name, sizeof(name), "/zdtm-sem-%d", getpid());
	semaphore = sem_open(name, O_CREAT | O_EXCL, 0600, 1);
	check(semaphore != SEM_FAILED, "sem_open");
	check(sem_wait(semaphore) == 0, "sem_wait");
	child = test_fork(take, name);
	wait_asleep(child);

	test_daemon();
	test_waitsig();

	check(sem_trywait(semaphore) == -1 && errno == EAGAIN, "the semaphore has been posted");
	check(sem_post(semaphore) == 0, "sem_post");
	check(waitpid(child, &status, 0) == child && status == 0, "the child ended with %x", status);
	check(sem_post(semaphore) == 0 && sem_post(semaphore) == 0, "sem_post");
	fresh = test_fork(count, name);
	check(waitpid(fresh, &status, 0) == fresh && status == 0, "the name leads to another semaphore");
	check(sem_unlink(name) == 0, "sem_unlink");
	return pass();
}
