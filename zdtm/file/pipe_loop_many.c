/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A ring of many processes, each between two pipes, with a token that goes round once before and once after. */
#include "zdtm.h"

#define TASKS 60

static int pipes[TASKS + 1][2];
static struct barrier *round_trip;

struct token {
	uint32_t hops, sum;
};

static void forward(int index)
{
	struct token token;

	check(read(pipes[index][0], &token, sizeof(token)) == sizeof(token), "task %d reads no token", index);
	token.hops++;
	token.sum = token.sum * 31 + index;
	check(write(pipes[index + 1][1], &token, sizeof(token)) == sizeof(token), "task %d", index);
}

static int task(void *argument)
{
	int index = *(int *)argument;

	for (int i = 0; i <= TASKS; i++) {
		if (i != index)
			close(pipes[i][0]);
		if (i != index + 1)
			close(pipes[i][1]);
	}
	forward(index);
	barrier_post(round_trip);
	forward(index);
	test_waitsig();
	return 0;
}

static uint32_t go_round(void)
{
	struct token token = { 0 };

	check(write(pipes[0][1], &token, sizeof(token)) == sizeof(token), "start the token");
	check(read(pipes[TASKS][0], &token, sizeof(token)) == sizeof(token), "the token does not return");
	check(token.hops == TASKS, "the token made %u hops", token.hops);
	return token.sum;
}

int main(int argc, char **argv)
{
	pid_t pids[TASKS];
	uint32_t sum;

	test_init(argc, argv);
	round_trip = barrier_new();
	for (int i = 0; i <= TASKS; i++)
		check(pipe(pipes[i]) == 0, "pipe");
	for (int i = 0; i < TASKS; i++)
		pids[i] = test_fork(task, &i);
	for (int i = 0; i <= TASKS; i++) {
		if (i < TASKS)
			close(pipes[i][0]);
		if (i > 0)
			close(pipes[i][1]);
	}
	sum = go_round();
	barrier_wait(round_trip, TASKS);

	test_daemon();
	test_waitsig();

	check(go_round() == sum, "the tasks have changed places");
	for (int i = 0; i < TASKS; i++)
		test_join(pids[i]);
	return pass();
}
