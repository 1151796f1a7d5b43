/*
 * A program that becomes one that cannot be dumped. It writes "ready"; at SIGUSR1 it does what its argument says and
 * writes "changed"; at SIGUSR2 it writes "good".
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static pthread_t main_thread;
static sigset_t orders, farewell;

static int namespace(void)
{
	return unshare(CLONE_NEWUTS);
}

static int namespace_of_children(void)
{
	return unshare(CLONE_NEWPID);
}

static int view_of_files(void)
{
	return unshare(CLONE_FS);
}

static int end_of_leader(void)
{
	return pthread_kill(main_thread, SIGTERM);
}

static const struct change {
	const char *name;
	int (*make)(void);
	/* Another thread than the main one does it. */
	int by_other;
} changes[] = {
	{ "namespace", namespace, 0 },
	{ "namespace-of-children", namespace_of_children, 0 },
	{ "namespace-of-thread", namespace, 1 },
	{ "table-of-thread", view_of_files, 1 },
	{ "end-of-leader", end_of_leader, 1 },
};

static void say(const char *line)
{
	if (write(1, line, strlen(line)) < 0)
		_exit(2);
}

static void *serve(void *argument)
{
	const struct change *change = argument;
	int signal;

	say("ready\n");
	for (;;) {
		if (sigwait(&orders, &signal))
			_exit(3);
		if (signal == SIGUSR2)
			say("good\n");
		else if (change->make() == 0)
			say("changed\n");
		else
			_exit(4);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t other;
	int signal;

	setsid();
	sigemptyset(&orders);
	sigaddset(&orders, SIGUSR1);
	sigaddset(&orders, SIGUSR2);
	sigemptyset(&farewell);
	sigaddset(&farewell, SIGTERM);
	sigprocmask(SIG_BLOCK, &orders, NULL);
	sigprocmask(SIG_BLOCK, &farewell, NULL);
	main_thread = pthread_self();
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		if (argc != 2 || strcmp(changes[i].name, argv[1]))
			continue;
		if (!changes[i].by_other)
			serve((void *)&changes[i]);
		if (pthread_create(&other, NULL, serve, (void *)&changes[i]))
			return 5;
		sigwait(&farewell, &signal);
		pthread_exit(NULL);
	}
	return 6;
}
