/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A program that has moved its vdso, with all that belongs to it, and calls it where it is now. */
#include "zdtm.h"

#include <elf.h>
#include <inttypes.h>
#include <link.h>
#include <time.h>

/* The kernel's own mappings in their order; they stay side by side. */
static struct vma parts[8];
static int count;

typedef int clock_call(clockid_t clock, struct timespec *now);

static void find_parts(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];

	check(maps, "open maps");
	for (count = 0; fgets(line, sizeof(line), maps) && count < (int)ARRAY_SIZE(parts);) {
		struct vma *part = &parts[count];

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %*s %255s", &part->start, &part->end, part->name) == 3 &&
		    (!strcmp(part->name, "[vdso]") || !strncmp(part->name, "[vvar", 5)))
			count++;
	}
	fclose(maps);
}

static uintptr_t vdso(void)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(parts[i].name, "[vdso]"))
			return parts[i].start;
	fail("there is no vdso");
	exit(1);
}

/* The function by which the vdso tells the time. Its symbols end where their names begin. */
static clock_call *find_clock(uintptr_t base)
{
	const ElfW(Ehdr) *header = (void *)base;
	const ElfW(Phdr) *segment = (void *)(base + header->e_phoff);
	const ElfW(Sym) *symbol = NULL;
	const char *names = NULL;

	for (int i = 0; i < header->e_phnum; i++)
		if (segment[i].p_type == PT_DYNAMIC)
			for (const ElfW(Dyn) *tag = (void *)(base + segment[i].p_offset); tag->d_tag != DT_NULL; tag++) {
				if (tag->d_tag == DT_SYMTAB)
					symbol = (void *)(base + tag->d_un.d_ptr);
				if (tag->d_tag == DT_STRTAB)
					names = (void *)(base + tag->d_un.d_ptr);
			}
	for (; symbol && (const char *)symbol < names; symbol++)
		if (strstr(names + symbol->st_name, "clock_gettime") && !strstr(names + symbol->st_name, "64"))
			return (clock_call *)(base + symbol->st_value);
	fail("the vdso has no clock_gettime");
	exit(1);
}

static void move_to(uintptr_t to)
{
	const uintptr_t from = parts[0].start;

	for (int i = 0; i < count; i++) {
		const size_t size = parts[i].end - parts[i].start;
		void *target = (void *)(parts[i].start - from + to);

		check(mremap((void *)parts[i].start, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target, "mremap of %s",
		      parts[i].name);
	}
}

int main(int argc, char **argv)
{
	struct timespec before, now;
	uintptr_t moved;
	sigset_t end;
	void *hole;
	int signal;

	test_init(argc, argv);
	find_parts();
	hole = mmap(NULL, parts[count - 1].end - parts[0].start, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(hole != MAP_FAILED, "mmap");
	moved = vdso() - parts[0].start + (uintptr_t)hole;
	move_to((uintptr_t)hole);
	check(find_clock(moved)(CLOCK_MONOTONIC, &before) == 0, "clock_gettime where it is now");
	/* No handler may run: on some machines the kernel would have it return to where the vdso was. */
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	check(sigprocmask(SIG_BLOCK, &end, NULL) == 0, "sigprocmask");
	test_daemon();
	check(sigwait(&end, &signal) == 0, "sigwait");
	find_parts();
	check(vdso() == moved, "the vdso is at %#lx, not at %#lx", (long)vdso(), (long)moved);
	check(find_clock(moved)(CLOCK_MONOTONIC, &now) == 0, "clock_gettime");
	check(now.tv_sec >= before.tv_sec && now.tv_sec < before.tv_sec + 3600, "it is %ld, was %ld", (long)now.tv_sec,
	      (long)before.tv_sec);
	return pass();
}
