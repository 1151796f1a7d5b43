/*
 * The victim of the benchmark: a process of a chosen size that can prove that all of it is alive.
 *
 *   victim ANSWER tiny | threads N | tree N | memory MIB
 *
 * It leads a session of its own, holds no file but its standard ones, and writes a word to the file ANSWER: `ready`
 * once it has its size, then `alive` for each SIGUSR1, after every thread, process or page has answered.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *answer_path;
static long size;
static sigset_t signals;

/* The file appears whole: the reader polls for it. */
static void answer(const char *word)
{
	char partial[4096];
	int fd;

	snprintf(partial, sizeof(partial), "%s.partial", answer_path);
	fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, word, strlen(word)) < 0 || close(fd) || rename(partial, answer_path))
		err(1, "%s", partial);
}

static int wait_for(int wanted)
{
	int got;

	while ((got = sigwaitinfo(&signals, NULL)) != wanted)
		if (got < 0 && errno != EINTR)
			return -1;
	return 0;
}

static void nothing(void)
{
}

/* Threads: each counts itself once per round. */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t round_began = PTHREAD_COND_INITIALIZER;
static pthread_cond_t thread_counted = PTHREAD_COND_INITIALIZER;
static long rounds, counted;

static void *count_each_round(void *unused)
{
	long seen = 0;

	pthread_mutex_lock(&lock);
	for (;;) {
		counted++;
		pthread_cond_signal(&thread_counted);
		while (rounds == seen)
			pthread_cond_wait(&round_began, &lock);
		seen = rounds;
	}
	return unused;
}

static void wait_until_all_counted(void)
{
	while (counted < size - 1)
		pthread_cond_wait(&thread_counted, &lock);
	pthread_mutex_unlock(&lock);
}

static void start_threads(void)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 64 << 10);
	pthread_mutex_lock(&lock);
	for (long i = 1; i < size; i++)
		if (pthread_create(&thread, &attributes, count_each_round, NULL))
			errx(1, "thread %ld", i);
	wait_until_all_counted();
}

static void ask_threads(void)
{
	pthread_mutex_lock(&lock);
	counted = 0;
	rounds++;
	pthread_cond_broadcast(&round_began);
	wait_until_all_counted();
}

/* Processes: children of the first one; each answers a signal with a queued one. */

static pid_t *children;

static void serve_parent(void)
{
	union sigval value = { 0 };

	for (;;) {
		if (sigqueue(getppid(), SIGRTMIN, value))
			_exit(1);
		if (wait_for(SIGUSR1))
			_exit(1);
	}
}

static void wait_for_children(void)
{
	for (long i = 1; i < size; i++)
		if (wait_for(SIGRTMIN))
			err(1, "child %ld", i);
}

static void start_children(void)
{
	children = calloc(size, sizeof(*children));
	if (!children)
		err(1, "children");
	for (long i = 1; i < size; i++) {
		children[i] = fork();
		if (children[i] < 0)
			err(1, "child %ld", i);
		if (!children[i])
			serve_parent();
	}
	wait_for_children();
}

static void ask_children(void)
{
	for (long i = 1; i < size; i++)
		if (kill(children[i], SIGUSR1))
			err(1, "child %ld", i);
	wait_for_children();
}

/* Memory: no word is zero and no two pages are alike, so nothing can be left out. */

static uint64_t *words;
static size_t words_total;

static uint64_t word_at(size_t index)
{
	uint64_t word = index + 1;

	word ^= word << 13;
	word *= 0x9e3779b97f4a7c15u;
	return word | 1;
}

static void fill_memory(void)
{
	words_total = (size_t)size << 17;
	words = mmap(NULL, words_total * sizeof(*words), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (words == MAP_FAILED)
		err(1, "%ld MiB", size);
	for (size_t i = 0; i < words_total; i++)
		words[i] = word_at(i);
}

static void ask_memory(void)
{
	for (size_t i = 0; i < words_total; i += 64)
		if (words[i] != word_at(i))
			errx(1, "word %zu changed", i);
}

static const struct mode {
	const char *name;
	void (*start)(void);
	void (*ask)(void);
} modes[] = {
	{ "tiny", nothing, nothing },
	{ "threads", start_threads, ask_threads },
	{ "tree", start_children, ask_children },
	{ "memory", fill_memory, ask_memory },
};

int main(int argc, char **argv)
{
	const struct mode *mode = NULL;

	if (argc < 3)
		errx(2, "usage: victim ANSWER tiny | threads N | tree N | memory MIB");
	answer_path = argv[1];
	size = argc > 3 ? atol(argv[3]) : 1;
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		if (!strcmp(argv[2], modes[i].name))
			mode = &modes[i];
	if (!mode || size < 1)
		errx(2, "no such victim: %s %ld", argv[2], size);

	close_range(3, ~0u, 0);
	if (setsid() < 0)
		err(1, "setsid");
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGRTMIN);
	sigprocmask(SIG_SETMASK, &signals, NULL);

	mode->start();
	answer("ready");
	for (;;) {
		if (wait_for(SIGUSR1))
			err(1, "SIGUSR1");
		mode->ask();
		answer("alive");
	}
}
