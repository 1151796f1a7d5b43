/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A descriptor table with large gaps: every number is where it was, every gap is still one. */
#include "zdtm.h"

#include <dirent.h>
#include <fcntl.h>

static const int numbers[] = { 3, 5, 31, 64, 255, 256, 1000 };

/* What is open, as a string, without the descriptor that reads the directory. */
static void list(char *text, size_t size)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;
	int seen[1024] = { 0 }, own;
	size_t length = 0;

	check(directory, "open /proc/self/fd");
	own = dirfd(directory);
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != own && atoi(entry->d_name) < 1024)
			seen[atoi(entry->d_name)] = 1;
	closedir(directory);
	for (int fd = 0; fd < 1024; fd++)
		if (seen[fd] && length < size)
			length += snprintf(text + length, size - length, " %d", fd);
}

int main(int argc, char **argv)
{
	char text[128];
	int fd;

	test_init(argc, argv);
	fd = open(test_filename, O_RDWR | O_CREAT, 0600);
	check(fd == 3, "the first free descriptor is %d", fd);
	for (size_t i = 1; i < ARRAY_SIZE(numbers); i++) {
		fd = open(test_filename, O_RDWR);
		check(fd >= 0 && dup2(fd, numbers[i]) == numbers[i], "dup2 to %d", numbers[i]);
		if (fd != numbers[i])
			close(fd);
		check(lseek(numbers[i], numbers[i], SEEK_SET) == numbers[i], "lseek");
	}

	test_daemon();
	test_waitsig();

	list(text, sizeof(text));
	check(!strcmp(text, " 0 1 2 3 5 31 64 255 256 1000"), "open are%s", text);
	for (size_t i = 1; i < ARRAY_SIZE(numbers); i++)
		check(lseek(numbers[i], 0, SEEK_CUR) == numbers[i], "fd %d is another file", numbers[i]);
	check(open("/dev/null", O_RDONLY) == 4, "the lowest free number is not 4");
	return pass();
}
