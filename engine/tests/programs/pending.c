/*
 * Two threads that block all signals. The second has SIGURG pending for itself, which nobody misses who does not wait for
 * it. Writes "good" when it is.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static pthread_barrier_t raised;

static void *second(void *arg)
{
	pthread_kill(pthread_self(), SIGURG);
	pthread_barrier_wait(&raised);
	for (;;)
		pause();
	return arg;
}

int main(void)
{
	pthread_t id;
	sigset_t mask;
	setsid();
	sigfillset(&mask);
	sigdelset(&mask, SIGWINCH);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	pthread_barrier_init(&raised, NULL, 2);
	if (pthread_create(&id, NULL, second, NULL))
		return 2;
	pthread_barrier_wait(&raised);
	if (write(1, "good\n", 5) != 5)
		return 3;
	for (;;)
		pause();
}
