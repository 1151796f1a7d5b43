/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Ids that all differ, several groups, and a capability less in each set. */
#include "zdtm.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

static void show(char *text, size_t size)
{
	static const char *const keys[] = { "Uid",    "Gid",	"Groups", "CapInh", "CapPrm",
					    "CapEff", "CapBnd", "CapAmb", "NoNewPrivs" };
	char value[512];

	text[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		proc_field("self/status", keys[i], value, sizeof(value));
		strncat(text, value, size - strlen(text) - 1);
		strncat(text, "; ", size - strlen(text) - 1);
	}
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	check(syscall(SYS_capget, &header, data) == 0, "capget");
	data[0].permitted &= ~(1u << CAP_SYS_BOOT);
	data[0].effective = data[0].permitted & ~(1u << CAP_SYS_TIME);
	data[0].inheritable = 1u << CAP_KILL | 1u << CAP_CHOWN;
	check(syscall(SYS_capset, &header, data) == 0, "capset");
	check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0) == 0, "PR_CAP_AMBIENT_RAISE");
}

int main(int argc, char **argv)
{
	const gid_t groups[] = { 7, 4000, 70000, 4000000000u };
	char before[2048], after[2048];

	test_init(argc, argv);
	check(prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT) == 0, "PR_CAPBSET_DROP");
	check(setgroups(ARRAY_SIZE(groups), groups) == 0, "setgroups");
	check(setresgid(101, 102, 103) == 0, "setresgid");
	setfsgid(104);
	/* Without PR_SET_KEEPCAPS the change of ids would clear the capabilities. */
	check(prctl(PR_SET_KEEPCAPS, 1) == 0, "PR_SET_KEEPCAPS");
	check(setresuid(201, 0, 203) == 0, "setresuid");
	drop_capabilities();
	setfsuid(204);
	show(before, sizeof(before));
	test_daemon();
	test_waitsig();
	show(after, sizeof(after));
	check(!strcmp(before, after), "was %s is %s", before, after);
	return pass();
}
