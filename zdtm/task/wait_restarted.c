/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A task sits in waitpid(2) for a child that ends only after the restore. */
#include "zdtm.h"

static struct barrier *ready, *go;

static int grandchild(void *argument)
{
	(void)argument;
	barrier_post(ready);
	barrier_wait(go, 1);
	return 7;
}

static int child(void *argument)
{
	pid_t pid = test_fork(grandchild, argument), got;
	int status = 0;

	barrier_wait(ready, 1);
	barrier_post(ready);
	got = waitpid(pid, &status, 0);
	check(got == pid, "waitpid says %d", got);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 7, "the status is %#x", status);
	return 0;
}

int main(int argc, char **argv)
{
	int status;
	pid_t pid;

	test_init(argc, argv);
	ready = barrier_new();
	go = barrier_new();
	pid = test_fork(child, NULL);
	barrier_wait(ready, 2);
	wait_asleep(pid);
	test_daemon();
	test_waitsig();
	barrier_post(go);
	check(waitpid(pid, &status, 0) == pid && status == 0, "the child ended with %#x", status);
	return pass();
}
