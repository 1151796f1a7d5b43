/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What a compiler at run time does: code in anonymous memory, executable and no longer writable. */
#include "machine.h"

enum { COPIES = 100 };

int main(int argc, char **argv)
{
	static const unsigned char code[] = MACHINE_ANSWER;
	int (*answer)(void);
	char *area;

	test_init(argc, argv);
	area = map_pages(COPIES);
	for (size_t i = 0; i < COPIES; i++)
		memcpy(area + i * page_size() + i * 16, code, sizeof(code));
	check(mprotect(area, COPIES * page_size(), PROT_READ | PROT_EXEC) == 0, "mprotect");
	__builtin___clear_cache(area, area + COPIES * page_size());
	test_daemon();
	test_waitsig();
	for (size_t i = 0; i < COPIES; i++) {
		answer = (int (*)(void))(area + i * page_size() + i * 16);
		check(answer() == 42, "copy %zu answers %d", i, answer());
	}
	return pass();
}
