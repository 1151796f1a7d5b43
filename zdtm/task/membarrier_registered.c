/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Without the registration, the private expedited commands are refused with EPERM; see membarrier(2). */
#include "zdtm.h"

#include <linux/membarrier.h>

static int membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0);
}

int main(int argc, char **argv)
{
	test_init(argc, argv);
	check(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == -1 && errno == EPERM, "it is registered by itself");
	check(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0, "register");
	check(membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0, "register global");
	test_daemon();
	test_waitsig();
	check(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0, "the registration is lost");
	check(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ) == -1 && errno == EPERM,
	      "a command is registered that was not");
	return pass();
}
