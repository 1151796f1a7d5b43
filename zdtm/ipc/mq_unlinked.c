/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A POSIX message queue without a name, by which parent and child talk. */
#include "zdtm.h"

#include <fcntl.h>
#include <mqueue.h>
#include <sys/stat.h>

enum { UID = 1301, GID = 1302 };

static mqd_t queue;

static int child(void *argument)
{
	(void)argument;
	test_waitsig();
	return mq_send(queue, "from child", 10, 3) != 0;
}

int main(int argc, char **argv)
{
	struct mq_attr attr = { .mq_maxmsg = 2, .mq_msgsize = 20 };
	char name[64], buffer[20];
	unsigned int priority;
	struct stat status;
	pid_t pid;

	test_init(argc, argv);
	snprintf(name, sizeof(name), "/zdtm-mq-unlinked-%d", getpid());
	queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
	check(queue >= 0 && fchown(queue, UID, GID) == 0 && fchmod(queue, 0460) == 0, "mq_open");
	check(mq_unlink(name) == 0, "mq_unlink");
	pid = test_fork(child, NULL);

	test_daemon();
	test_waitsig();

	check(mq_getattr(queue, &attr) == 0 && attr.mq_maxmsg == 2 && attr.mq_msgsize == 20, "mq_getattr");
	check(attr.mq_curmsgs == 0, "it has %ld messages", attr.mq_curmsgs);
	check(fstat(queue, &status) == 0 && status.st_nlink == 0, "it has a name");
	check(status.st_uid == UID && status.st_gid == GID && (status.st_mode & 07777) == 0460, "it belongs to %d:%d, %o",
	      status.st_uid, status.st_gid, status.st_mode);
	check(mq_open(name, O_RDONLY) == -1 && errno == ENOENT, "its name has come back");
	test_join(pid);
	check(mq_receive(queue, buffer, 20, &priority) == 10 && priority == 3, "mq_receive");
	check(!memcmp(buffer, "from child", 10), "another message");
	return pass();
}
