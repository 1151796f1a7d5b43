/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The argument and environment areas of /proc lie in a mapping of the program's own. */
#include "zdtm.h"

#include <sys/prctl.h>

/* Everything but the two areas stays as stat shows it; see proc(5) for the fields. */
static void current(struct prctl_mm_map *map)
{
	unsigned long long fields[53] = { 0 };
	char text[1024], *word;

	check(read_text("/proc/self/stat", text, sizeof(text)) > 0, "read stat");
	word = strrchr(text, ')') + 4;
	for (int field = 4; field <= 52; field++)
		fields[field] = strtoull(word, &word, 10);
	*map = (struct prctl_mm_map){
		.start_code = fields[26],
		.end_code = fields[27],
		.start_stack = fields[28],
		.start_data = fields[45],
		.end_data = fields[46],
		.start_brk = fields[47],
		.brk = (uintptr_t)sbrk(0),
		.exe_fd = -1,
	};
}

int main(int argc, char **argv)
{
	static const char arguments[] = "moved\0arguments", environment[] = "A=1\0B=two";
	struct prctl_mm_map map;
	char *area, text[128];

	test_init(argc, argv);
	area = map_pages(1);
	memcpy(area, arguments, sizeof(arguments));
	memcpy(area + 64, environment, sizeof(environment));
	current(&map);
	map.arg_start = (uintptr_t)area;
	map.arg_end = map.arg_start + sizeof(arguments);
	map.env_start = map.arg_start + 64;
	map.env_end = map.env_start + sizeof(environment);
	check(prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0) == 0, "PR_SET_MM_MAP");
	test_daemon();
	test_waitsig();
	check(read_text("/proc/self/cmdline", text, sizeof(text)) == sizeof(arguments), "length of the arguments");
	check(!memcmp(text, arguments, sizeof(arguments)), "the arguments are %s", text);
	check(read_text("/proc/self/environ", text, sizeof(text)) == sizeof(environment), "length of the environment");
	check(!memcmp(text, environment, sizeof(environment)), "the environment is %s", text);
	return pass();
}
