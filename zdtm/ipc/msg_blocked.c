/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A child that waits for a message of one type goes on waiting, and gets it. */
#include "zdtm.h"

#include <sys/msg.h>

static int id;

static int child(void *argument)
{
	struct { long type; char text[8]; } message;

	(void)argument;
	check(msgrcv(id, &message, sizeof(message.text), 5, 0) == 2, "msgrcv");
	return message.type != 5 || memcmp(message.text, "go", 2);
}

int main(int argc, char **argv)
{
	struct { long type; char text[8]; } message = { 4, "no" };
	int exit_code;
	pid_t pid;

	test_init(argc, argv);
	id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
	check(id >= 0 && msgsnd(id, &message, 2, 0) == 0, "msgget");
	pid = test_fork(child, NULL);
	wait_asleep(pid);

	test_daemon();
	test_waitsig();

	check(waitpid(pid, &exit_code, WNOHANG) == 0, "the child does not wait any more");
	message.type = 5;
	memcpy(message.text, "go", 2);
	check(msgsnd(id, &message, 2, 0) == 0, "msgsnd");
	check(waitpid(pid, &exit_code, 0) == pid && exit_code == 0, "the child has got another message");
	check(msgrcv(id, &message, 8, 0, IPC_NOWAIT) == 2 && message.type == 4, "the other message is gone");
	check(msgctl(id, IPC_RMID, NULL) == 0, "IPC_RMID");
	return pass();
}
