/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A POSIX message queue stays in the kernel with its messages; two descriptions of it have flags of their own. */
#include "zdtm.h"

#include <fcntl.h>
#include <mqueue.h>

enum { SIZE = 300 };

static void expect(mqd_t queue, const char *text, unsigned int priority)
{
	char buffer[SIZE] = "";
	unsigned int got = 0;

	check(mq_receive(queue, buffer, SIZE, &got) == (ssize_t)strlen(text), "mq_receive");
	check(!strcmp(buffer, text) && got == priority, "'%s' of priority %u", buffer, got);
}

int main(int argc, char **argv)
{
	struct mq_attr attr = { .mq_maxmsg = 7, .mq_msgsize = SIZE };
	mqd_t queue, reader;
	char name[64], buffer[SIZE];

	test_init(argc, argv);
	snprintf(name, sizeof(name), "/zdtm-mq-named-%d", getpid());
	queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0620, &attr);
	reader = mq_open(name, O_RDONLY | O_NONBLOCK);
	check(queue >= 0 && reader >= 0, "mq_open");
	check(mq_send(queue, "low", 3, 1) == 0 && mq_send(queue, "high", 4, 9) == 0, "mq_send");
	check(mq_send(queue, "low too", 7, 1) == 0, "mq_send");

	test_daemon();
	test_waitsig();

	check(mq_getattr(queue, &attr) == 0 && attr.mq_maxmsg == 7 && attr.mq_msgsize == SIZE, "mq_getattr");
	check(attr.mq_curmsgs == 3 && attr.mq_flags == 0, "%ld messages, flags %lx", attr.mq_curmsgs, attr.mq_flags);
	expect(queue, "high", 9);
	expect(reader, "low", 1);
	expect(reader, "low too", 1);
	check(mq_receive(reader, buffer, SIZE, NULL) == -1 && errno == EAGAIN, "O_NONBLOCK is gone");
	check(mq_send(reader, "x", 1, 0) == -1 && errno == EBADF, "what was for reading alone can be written to");
	check(mq_unlink(name) == 0, "mq_unlink");
	return pass();
}
