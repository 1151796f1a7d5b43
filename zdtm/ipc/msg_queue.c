/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A message queue stays in the kernel with its messages: order, types and sizes, and who was there last. */
#include "zdtm.h"

#include <sys/msg.h>

enum { LONG = 5000 };

static struct message {
	long type;
	char text[LONG];
} message;

static void expect(int id, long wanted, long type, ssize_t size)
{
	check(msgrcv(id, &message, LONG, wanted, IPC_NOWAIT) == size, "msgrcv of %zd bytes", size);
	check(message.type == type, "the message is of type %ld, not %ld", message.type, type);
	check(pattern_holds(message.text, size, type), "the message of type %ld has changed", type);
}

int main(int argc, char **argv)
{
	static const struct { long type; size_t size; } sent[] = { { 7, 3 }, { 1 << 30, LONG }, { 7, 0 }, { 2, 100 } };
	struct msqid_ds status;
	key_t key;
	int id;

	test_init(argc, argv);
	key = 0x5d000000 | getpid();
	id = msgget(key, IPC_CREAT | IPC_EXCL | 0640);
	check(id >= 0, "msgget");
	for (size_t i = 0; i < ARRAY_SIZE(sent); i++) {
		message.type = sent[i].type;
		pattern_fill(message.text, sent[i].size, sent[i].type);
		check(msgsnd(id, &message, sent[i].size, IPC_NOWAIT) == 0, "msgsnd");
	}

	test_daemon();
	test_waitsig();

	check(msgget(key, 0) == id, "the key leads to queue %d", msgget(key, 0));
	check(msgctl(id, IPC_STAT, &status) == 0 && status.msg_qnum == 4, "%d messages", (int)status.msg_qnum);
	check(status.msg_lspid == getpid() && status.msg_lrpid == 0, "last were %d and %d", status.msg_lspid,
	      status.msg_lrpid);
	expect(id, 2, 2, 100);
	expect(id, 0, 7, 3);
	expect(id, 0, 1 << 30, LONG);
	expect(id, 0, 7, 0);
	check(msgctl(id, IPC_RMID, NULL) == 0, "IPC_RMID");
	return pass();
}
