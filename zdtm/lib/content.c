/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Memory contents, and what /proc shows of them. */
#include "zdtm.h"

#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>

#define HUGE_OVERCOMMIT "/proc/sys/vm/nr_overcommit_hugepages"

/* A multiplicative hash of offset and seed (Knuth's constant); the top byte is the one that varies best. */
static uint8_t pattern_byte(size_t offset, uint32_t seed)
{
	return ((uint32_t)offset * 2654435761u ^ (seed + 1) * 2246822519u ^ (uint32_t)(offset >> 12) * 40503u) >> 24;
}

void pattern_fill(void *memory, size_t size, uint32_t seed)
{
	uint8_t *bytes = memory;

	for (size_t offset = 0; offset < size; offset++)
		bytes[offset] = pattern_byte(offset, seed);
}

bool pattern_holds(const void *memory, size_t size, uint32_t seed)
{
	const uint8_t *bytes = memory;

	for (size_t offset = 0; offset < size; offset++) {
		if (bytes[offset] != pattern_byte(offset, seed)) {
			test_msg("byte %zu of %zu at %p is %#x, expected %#x", offset, size, memory, bytes[offset],
				 pattern_byte(offset, seed));
			return false;
		}
	}
	return true;
}

bool all_zero(const void *memory, size_t size)
{
	const uint8_t *bytes = memory;

	for (size_t offset = 0; offset < size; offset++) {
		if (bytes[offset]) {
			test_msg("byte %zu of %zu at %p is %#x, expected 0", offset, size, memory, bytes[offset]);
			return false;
		}
	}
	return true;
}

size_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

void *map_pages(size_t pages)
{
	void *memory;

	memory = mmap(NULL, pages * page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(memory != MAP_FAILED, "mmap of %zu pages", pages);
	return memory;
}

static sigjmp_buf back;

static void on_fault(int signal)
{
	siglongjmp(back, signal);
}

bool read_faults(const volatile char *address)
{
	static const int signals[] = { SIGSEGV, SIGBUS };
	struct sigaction action = { .sa_handler = on_fault }, before[ARRAY_SIZE(signals)];
	volatile bool faulted = true;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		check(sigaction(signals[i], &action, &before[i]) == 0, "sigaction");
	if (sigsetjmp(back, 1) == 0) {
		(void)*address;
		faulted = false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		check(sigaction(signals[i], &before[i], NULL) == 0, "sigaction");
	return faulted;
}

ssize_t read_text(const char *path, char *text, size_t size)
{
	size_t length = 0;
	ssize_t got;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	while ((got = read(fd, text + length, size - 1 - length)) > 0)
		length += got;
	close(fd);
	text[length] = '\0';
	return got < 0 ? -1 : (ssize_t)length;
}

int write_text(const char *path, const char *text)
{
	ssize_t length = strlen(text);
	int fd, result;

	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return -1;
	result = write(fd, text, length) == length ? 0 : -1;
	return close(fd) || result ? -1 : 0;
}

void proc_field(const char *path, const char *key, char *value, size_t size)
{
	char file[128], line[4096];
	size_t length = strlen(key);
	FILE *stream;

	snprintf(file, sizeof(file), "/proc/%s", path);
	stream = fopen(file, "re");
	check(stream, "open %s", file);
	while (fgets(line, sizeof(line), stream)) {
		char *start = line + length + 1, *end = line + strlen(line);

		if (strncmp(line, key, length) || line[length] != ':')
			continue;
		while (isspace((unsigned char)*start))
			start++;
		while (end > start && isspace((unsigned char)end[-1]))
			end--;
		snprintf(value, size, "%.*s", (int)(end - start), start);
		fclose(stream);
		return;
	}
	check(false, "%s has no line %s", file, key);
}

/* Copies up to the end of the line, or as much as fits. */
static void copy_line(char *to, size_t size, const char *line)
{
	size_t length = strcspn(line, "\n");

	if (length >= size)
		length = size - 1;
	memcpy(to, line, length);
	to[length] = '\0';
}

static bool parse_vma_header(const char *line, struct vma *vma)
{
	int name = 0;

	memset(vma, 0, sizeof(*vma));
	if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %" SCNx64 " %*s %*u %n", &vma->start, &vma->end, vma->perms,
		   &vma->offset, &name) != 4)
		return false;
	copy_line(vma->name, sizeof(vma->name), name ? line + name : "");
	return true;
}

static void parse_vma_field(const char *line, struct vma *vma)
{
	const struct {
		const char *key;
		size_t *value;
	} sizes[] = {
		{ "Rss", &vma->rss },
		{ "Shared_Dirty", &vma->shared_dirty },
		{ "Private_Dirty", &vma->private_dirty },
		{ "Anonymous", &vma->anonymous },
		{ "Locked", &vma->locked },
		{ "Swap", &vma->swap },
	};
	size_t kilobytes;
	char key[32];

	if (!strncmp(line, "VmFlags:", 8)) {
		copy_line(vma->flags, sizeof(vma->flags), line + 8);
		return;
	}
	if (sscanf(line, "%31[^:]: %zu kB", key, &kilobytes) != 2)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		if (!strcmp(key, sizes[i].key))
			*sizes[i].value = kilobytes * 1024;
}

bool find_vma(const void *address, struct vma *vma)
{
	uintptr_t wanted = (uintptr_t)address;
	struct vma next;
	bool found = false;
	char line[4608];
	FILE *stream;

	stream = fopen("/proc/self/smaps", "re");
	check(stream, "open /proc/self/smaps");
	while (fgets(line, sizeof(line), stream)) {
		if (parse_vma_header(line, &next)) {
			if (found)
				break;
			found = next.start <= wanted && wanted < next.end;
			if (found)
				*vma = next;
		} else if (found) {
			parse_vma_field(line, vma);
		}
	}
	fclose(stream);
	return found;
}

bool vma_has(const struct vma *vma, const char *flag)
{
	char wanted[8];

	snprintf(wanted, sizeof(wanted), " %s ", flag);
	return strstr(vma->flags, wanted) != NULL;
}

/* What huge_pages() has to give back. */
static char overcommit_before[32];
static pid_t overcommit_owner;

static void give_back(void)
{
	if (getpid() == overcommit_owner)
		write_text(HUGE_OVERCOMMIT, overcommit_before);
}

size_t huge_pages(size_t count)
{
	char value[32];

	check(read_text(HUGE_OVERCOMMIT, overcommit_before, sizeof(overcommit_before)) > 0, HUGE_OVERCOMMIT);
	overcommit_owner = getpid();
	check(atexit(give_back) == 0, "atexit");
	snprintf(value, sizeof(value), "%lu", strtoul(overcommit_before, NULL, 10) + count);
	check(write_text(HUGE_OVERCOMMIT, value) == 0, HUGE_OVERCOMMIT);
	proc_field("meminfo", "Hugepagesize", value, sizeof(value));
	return strtoul(value, NULL, 10) << 10;
}

void *huge_place(size_t size, size_t count)
{
	char *room = mmap(NULL, (count + 1) * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	check(room != MAP_FAILED && munmap(room, (count + 1) * size) == 0, "no room for %zu huge pages", count);
	return (void *)(((uintptr_t)room + size - 1) / size * size);
}

size_t huge_resident(void)
{
	char value[32];

	proc_field("self/status", "HugetlbPages", value, sizeof(value));
	return strtoul(value, NULL, 10) << 10;
}
