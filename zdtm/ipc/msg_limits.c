/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A message queue of which the limit was lowered below what it holds, and one that may hold more than there is memory. */
#include "zdtm.h"

#include <linux/capability.h>
#include <sys/msg.h>
#include <sys/prctl.h>

enum { LONG = 8000 };

/* The kernel takes an int, and makes a long of it. */
static unsigned long anything = -2UL;

static struct message {
	long type;
	char text[LONG];
} message;

/* Only CAP_SYS_RESOURCE lets a limit be more than kernel.msgmnb. */
static bool may_exceed(void)
{
	return prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE) == 1;
}

static int queue_with(unsigned long limit)
{
	int id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
	struct msqid_ds status;

	check(id >= 0, "msgget");
	message.type = 1;
	pattern_fill(message.text, LONG, 1);
	check(msgsnd(id, &message, LONG, IPC_NOWAIT) == 0 && msgsnd(id, &message, 0, IPC_NOWAIT) == 0, "msgsnd");
	check(msgctl(id, IPC_STAT, &status) == 0, "IPC_STAT");
	if (limit == anything && !may_exceed())
		anything = limit = status.msg_qbytes;
	status.msg_qbytes = limit;
	check(msgctl(id, IPC_SET, &status) == 0, "IPC_SET of %lu bytes", limit);
	return id;
}

static void expect(int id, unsigned long limit)
{
	struct msqid_ds status;

	check(msgctl(id, IPC_STAT, &status) == 0 && status.msg_qbytes == limit, "the limit is %lu, not %lu",
	      (unsigned long)status.msg_qbytes, limit);
	check(status.msg_qnum == 2, "%lu messages", (unsigned long)status.msg_qnum);
	check(msgrcv(id, &message, LONG, 0, IPC_NOWAIT) == LONG && pattern_holds(message.text, LONG, 1), "msgrcv");
	check(msgrcv(id, &message, LONG, 0, IPC_NOWAIT) == 0, "msgrcv of nothing");
	check(msgctl(id, IPC_RMID, NULL) == 0, "IPC_RMID");
}

int main(int argc, char **argv)
{
	int low, high;

	test_init(argc, argv);
	low = queue_with(10);
	high = queue_with(anything);

	test_daemon();
	test_waitsig();

	expect(low, 10);
	expect(high, anything);
	return pass();
}
