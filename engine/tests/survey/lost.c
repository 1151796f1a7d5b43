/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A process with much that no image carries: lost DIRECTORY. It tells its pid; its parent, which stays, is not of the tree. */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

#define need(condition)                                         \
	do {                                                    \
		if (!(condition))                               \
			err(1, "%d: %s", __LINE__, #condition); \
	} while (0)

static void write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	need(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* What the survey sees from outside. */
static void lose_in_sight(void)
{
	void *sealed = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	write_text("/proc/self/autogroup", "5");
	need(prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0) == 0);
	need(sealed != MAP_FAILED && syscall(SYS_mseal, sealed, 4096, 0) == 0);
}

/* What only the process can tell, or its files. */
static void lose_inside(const char *directory)
{
	unsigned long nodes = 1;
	int watch = inotify_init();
	char path[4096];

	need(syscall(SYS_set_mempolicy, MPOL_BIND, &nodes, 8 * sizeof(nodes)) == 0);
	need(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1) != -1);
	need(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0) == 0);
	need(watch >= 0 && inotify_add_watch(watch, directory, IN_CREATE) >= 0);
	snprintf(path, sizeof(path), "%s/created", directory);
	write_text(path, "");
}

int main(int argc, char **argv)
{
	int ends[2], inherited[2];

	if (argc != 2)
		return 2;
	need(socketpair(AF_UNIX, SOCK_STREAM, 0, inherited) == 0 && pipe(ends) == 0);
	if (fork() == 0) {
		need(setsid() > 0 && close(ends[0]) == 0);
		lose_in_sight();
		lose_inside(argv[1]);
		printf("%d\n", getpid());
		fflush(stdout);
		/* From here on nothing may read a clock through the vdso. */
		need(prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0) == 0);
		need(prctl(PR_SET_NAME, "lost") == 0);
	}
	for (;;)
		pause();
}
