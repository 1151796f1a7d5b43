/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A capability may be inheritable although it has left the bounding set: PR_CAPBSET_DROP takes it from nowhere else. */
#include "zdtm.h"

#include <linux/capability.h>
#include <sys/prctl.h>

enum { GONE = CAP_MKNOD, STAYS = CAP_KILL };

static void show(char *text, size_t size)
{
	char inheritable[64], bounding[64], permitted[64];

	proc_field("self/status", "CapInh", inheritable, sizeof(inheritable));
	proc_field("self/status", "CapBnd", bounding, sizeof(bounding));
	proc_field("self/status", "CapPrm", permitted, sizeof(permitted));
	snprintf(text, size, "inheritable %s bounding %s permitted %s", inheritable, bounding, permitted);
}

int main(int argc, char **argv)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	char before[256], after[256];

	test_init(argc, argv);
	check(syscall(SYS_capget, &header, data) == 0, "capget");
	data[0].inheritable = 1u << GONE | 1u << STAYS;
	check(syscall(SYS_capset, &header, data) == 0, "capset");
	check(prctl(PR_CAPBSET_DROP, GONE, 0, 0, 0) == 0, "PR_CAPBSET_DROP");
	check(prctl(PR_CAPBSET_READ, GONE, 0, 0, 0) == 0, "the bounding set still has it");
	show(before, sizeof(before));
	test_daemon();
	test_waitsig();
	show(after, sizeof(after));
	check(!strcmp(before, after), "was %s, is %s", before, after);
	return pass();
}
