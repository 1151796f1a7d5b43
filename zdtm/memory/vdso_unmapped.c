/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A program that has unmapped its vdso, in which several threads run, does not get one again. It waits without a handler
 * for SIGTERM: on some machines handlers return through the vdso.
 */
#include "zdtm.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/signalfd.h>

static struct barrier *ready;

/* Unmaps all that the kernel has mapped for the vdso; returns how many mappings there were. */
static int unmap_vdso(bool unmap)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end, found[8][2];
	char line[512];
	int count = 0;

	check(maps, "open maps");
	while (fgets(line, sizeof(line), maps))
		if ((strstr(line, "[vdso]") || strstr(line, "[vvar")) && sscanf(line, "%lx-%lx", &start, &end) == 2) {
			found[count][0] = start;
			found[count++][1] = end;
		}
	fclose(maps);
	for (int i = 0; unmap && i < count; i++)
		check(munmap((void *)found[i][0], found[i][1] - found[i][0]) == 0, "munmap");
	return count;
}

/* Maps code of a file that leaves the end of its page unused: without a vdso, whoever dumps needs such a place. Whether
 * the program itself has one depends on its size. */
static void map_code(void)
{
	int fd = open(test_filename, O_RDWR | O_CREAT | O_EXCL, 0700);

	check(fd >= 0 && ftruncate(fd, page_size()) == 0, "open %s", test_filename);
	check(mmap(NULL, page_size(), PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) != MAP_FAILED, "mmap");
	close(fd);
}

static void *thread(void *unused)
{
	barrier_post(ready);
	barrier_wait(ready, 4);
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t threads[2];
	struct signalfd_siginfo info;
	sigset_t terminate;
	int signals;

	test_init(argc, argv);
	sigemptyset(&terminate);
	sigaddset(&terminate, SIGTERM);
	check(sigprocmask(SIG_BLOCK, &terminate, NULL) == 0, "sigprocmask");
	/* Unlike sigwait(3), it leaves the mask alone while it waits. */
	signals = signalfd(-1, &terminate, 0);
	check(signals >= 0, "signalfd");
	ready = barrier_new();
	map_code();
	check(unmap_vdso(true) > 0, "there is no vdso");
	for (int i = 0; i < 2; i++)
		check(pthread_create(&threads[i], NULL, thread, NULL) == 0, "pthread_create");
	barrier_wait(ready, 2);
	test_daemon();
	check(read(signals, &info, sizeof(info)) == sizeof(info), "read of a signalfd");
	check(unmap_vdso(false) == 0, "there is a vdso");
	barrier_post(ready);
	barrier_post(ready);
	for (int i = 0; i < 2; i++)
		check(pthread_join(threads[i], NULL) == 0, "pthread_join");
	return pass();
}
