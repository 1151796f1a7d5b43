/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Creator, owner, their groups and the creating process, all of them different. */
#include "zdtm.h"

#include <sys/shm.h>

enum { CUID = 1201, CGID = 1202, UID = 1203, GID = 1204 };

static int *id;

static int creator(void *argument)
{
	(void)argument;
	check(setgid(CGID) == 0 && setuid(CUID) == 0, "setuid");
	*id = shmget(IPC_PRIVATE, page_size(), IPC_CREAT | 0620);
	return *id < 0;
}

int main(int argc, char **argv)
{
	struct shmid_ds status;
	int exit_code;
	pid_t pid;

	test_init(argc, argv);
	id = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(id != MAP_FAILED, "mmap");
	pid = test_fork(creator, NULL);
	check(waitpid(pid, &exit_code, 0) == pid && exit_code == 0, "the creator has failed");
	check(shmat(*id, NULL, 0) != (void *)-1, "shmat");
	check(shmctl(*id, IPC_STAT, &status) == 0, "IPC_STAT");
	status.shm_perm.uid = UID;
	status.shm_perm.gid = GID;
	status.shm_perm.mode = 0460;
	check(shmctl(*id, IPC_SET, &status) == 0 && shmctl(*id, IPC_RMID, NULL) == 0, "IPC_SET");

	test_daemon();
	test_waitsig();

	check(shmctl(*id, IPC_STAT, &status) == 0, "there is no segment %d", *id);
	check(status.shm_perm.cuid == CUID && status.shm_perm.cgid == CGID, "it was made by %d:%d",
	      status.shm_perm.cuid, status.shm_perm.cgid);
	check(status.shm_perm.uid == UID && status.shm_perm.gid == GID, "it belongs to %d:%d",
	      status.shm_perm.uid, status.shm_perm.gid);
	check((status.shm_perm.mode & 0777) == 0460, "its mode is %o", status.shm_perm.mode);
	check(status.shm_cpid == pid, "it was made by process %d, not %d", status.shm_cpid, pid);
	return pass();
}
