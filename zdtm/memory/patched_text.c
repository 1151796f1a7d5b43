/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A page of the program's own text is a private mapping of its file; a debugger or tracer patches it. */
#include "machine.h"

MACHINE_CODE __attribute__((noinline, aligned(4096))) static int question(int number)
{
	asm volatile("" : "+r"(number));
	return number / 2 + 1000;
}

int main(int argc, char **argv)
{
	static const unsigned char code[] = MACHINE_ANSWER;
	int (*volatile call)(int) = question;
	char *page;

	test_init(argc, argv);
	check(call(2) == 1001, "the function does something else");
	page = (char *)((uintptr_t)question & ~(page_size() - 1));
	check(mprotect(page, page_size(), PROT_READ | PROT_WRITE | PROT_EXEC) == 0, "mprotect");
	memcpy((void *)(uintptr_t)question, code, sizeof(code));
	check(mprotect(page, page_size(), PROT_READ | PROT_EXEC) == 0, "mprotect");
	__builtin___clear_cache(page, page + page_size());
	test_daemon();
	test_waitsig();
	check(call(2) == 42, "the function answers %d", call(2));
	return pass();
}
