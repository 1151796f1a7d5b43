/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A program that knows what stands in its files: files RESULT LIBRARY DATA.
 *
 * Compiled with -DLIBRARY it is the library. Either has a table of a mebibyte that is filled with ANSWER, and of which
 * nothing has been read before the verdict; the file DATA is open at its beginning. When all is ready, it writes
 * "READY PID" to the file RESULT, and on SIGTERM "PASS" or what it has found.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES (1 << 18)

static const volatile int table[ENTRIES] = { [0 ... ENTRIES - 1] = ANSWER };

#ifdef LIBRARY
int answer(int entry);

int answer(int entry)
{
	return table[entry];
}
#else
static void report(const char *path, const char *format, ...)
{
	FILE *file = fopen(path, "a");
	va_list arguments;

	if (!file)
		abort();
	va_start(arguments, format);
	vfprintf(file, format, arguments);
	va_end(arguments);
	fclose(file);
}

int main(int argc, char **argv)
{
	int (*answer)(int);
	char data[32] = "";
	void *library;
	sigset_t end;
	int fd, signal;

	if (argc != 4)
		return 2;
	library = dlopen(argv[2], RTLD_NOW);
	fd = open(argv[3], O_RDONLY);
	answer = library ? (int (*)(int))dlsym(library, "answer") : NULL;
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	if (!answer || fd < 0 || sigprocmask(SIG_BLOCK, &end, NULL))
		return 1;
	report(argv[1], "READY %d\n", getpid());
	sigwait(&end, &signal);
	if (table[ENTRIES / 2] != ANSWER)
		report(argv[1], "the program says %d\n", table[ENTRIES / 2]);
	else if (answer(ENTRIES / 2) != ANSWER)
		report(argv[1], "the library says %d\n", answer(ENTRIES / 2));
	else if (read(fd, data, sizeof(data) - 1) != 9 || strcmp(data, "as it was"))
		report(argv[1], "the data are '%s'\n", data);
	else
		report(argv[1], "PASS\n");
	return 0;
}
#endif
