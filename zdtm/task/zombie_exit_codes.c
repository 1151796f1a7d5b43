/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Several zombies: exit codes and signals come out of wait(2) as they were. */
#include "zdtm.h"

#include <sys/resource.h>

static int end(void *argument)
{
	const int how = (intptr_t)argument;
	const struct rlimit none = { 0 };
	struct sigaction action = { .sa_handler = SIG_DFL };

	if (how >= 0)
		_exit(how);
	check(setrlimit(RLIMIT_CORE, &none) == 0, "setrlimit");
	if (how != -SIGKILL)
		check(sigaction(-how, &action, NULL) == 0, "sigaction");
	raise(-how);
	return 1;
}

int main(int argc, char **argv)
{
	static const int how[] = { 0, 1, 77, 255, -SIGKILL, -SIGTERM, -SIGSEGV, -SIGUSR1 };
	pid_t pids[ARRAY_SIZE(how)];
	siginfo_t info;
	int status;

	test_init(argc, argv);
	for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
		pids[i] = test_fork(end, (void *)(intptr_t)how[i]);
		check(waitid(P_PID, pids[i], &info, WEXITED | WNOWAIT) == 0, "waitid");
	}
	test_daemon();
	test_waitsig();
	for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
		check(waitpid(pids[i], &status, WNOHANG) == pids[i], "zombie %d is not there", pids[i]);
		if (how[i] >= 0)
			check(WIFEXITED(status) && WEXITSTATUS(status) == how[i], "status of %d is %#x", how[i], status);
		else
			check(WIFSIGNALED(status) && WTERMSIG(status) == -how[i], "status of %d is %#x", how[i], status);
	}
	check(waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD, "there is one more child");
	return pass();
}
