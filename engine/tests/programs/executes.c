/*
 * Four threads. At SIGUSR2, which the last one takes, that one executes sleep(1): the kernel ends the others, and the last
 * thread gets the id of the first. Writes "good" when all are there.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum { IDLE = 2 };

static pthread_barrier_t ready;

static void *idle(void *arg)
{
	pthread_barrier_wait(&ready);
	for (;;)
		pause();
	return arg;
}

static void *execute(void *arg)
{
	sigset_t mask;
	int signal;
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	pthread_barrier_wait(&ready);
	sigwait(&mask, &signal);
	execlp("sleep", "sleep", "1000", NULL);
	return arg;
}

int main(void)
{
	pthread_t id;
	sigset_t mask;
	setsid();
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	pthread_barrier_init(&ready, NULL, IDLE + 2);
	for (int i = 0; i < IDLE; i++)
		if (pthread_create(&id, NULL, idle, NULL))
			return 2;
	if (pthread_create(&id, NULL, execute, NULL))
		return 2;
	pthread_barrier_wait(&ready);
	if (write(1, "good\n", 5) != 5)
		return 3;
	for (;;)
		pause();
}
