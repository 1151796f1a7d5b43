/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* After setuid(2) to an ordinary user: no capabilities, its own groups, and no way back to root. */
#include "zdtm.h"

#include <grp.h>
#include <sys/prctl.h>

int main(int argc, char **argv)
{
	const gid_t group = 58467;
	uid_t real, effective, saved;
	char capabilities[64];
	gid_t groups[2];

	test_init(argc, argv);
	check(setgroups(1, &group) == 0 && setresgid(58468, 58468, 58468) == 0, "groups");
	check(setresuid(18943, 18943, 18943) == 0, "setresuid");
	test_daemon();
	test_waitsig();
	check(getresuid(&real, &effective, &saved) == 0, "getresuid");
	check(real == 18943 && effective == 18943 && saved == 18943, "uids are %u %u %u", real, effective, saved);
	check(getgroups(2, groups) == 1 && groups[0] == group, "the group is %u", groups[0]);
	proc_field("self/status", "CapPrm", capabilities, sizeof(capabilities));
	check(strspn(capabilities, "0") == strlen(capabilities), "capabilities are %s", capabilities);
	check(setuid(0) == -1 && errno == EPERM, "it could become root again");
	return pass();
}
