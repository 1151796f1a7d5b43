/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A child that waits for a message of a POSIX queue goes on waiting, and gets it. */
#include "zdtm.h"

#include <fcntl.h>
#include <mqueue.h>

static mqd_t queue;

static int child(void *argument)
{
	char buffer[8];

	(void)argument;
	check(mq_receive(queue, buffer, sizeof(buffer), NULL) == 2, "mq_receive");
	return memcmp(buffer, "go", 2);
}

int main(int argc, char **argv)
{
	struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 8 };
	int exit_code;
	char name[64];
	pid_t pid;

	test_init(argc, argv);
	snprintf(name, sizeof(name), "/zdtm-mq-blocked-%d", getpid());
	queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
	check(queue >= 0 && mq_unlink(name) == 0, "mq_open");
	pid = test_fork(child, NULL);
	wait_asleep(pid);

	test_daemon();
	test_waitsig();

	check(waitpid(pid, &exit_code, WNOHANG) == 0, "the child does not wait any more");
	check(mq_send(queue, "go", 2, 0) == 0, "mq_send");
	check(waitpid(pid, &exit_code, 0) == pid && exit_code == 0, "the child has got something else");
	return pass();
}
