/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* O_NONBLOCK belongs to each end of a pipe (pipe2(2)); F_GETFL and the behaviour agree. */
#include "zdtm.h"

#include <fcntl.h>
#include <poll.h>

int main(int argc, char **argv)
{
	struct pollfd poll_end = { .events = POLLIN };
	int reader[2], writer[2], neither[2], flags[6];
	char byte;

	test_init(argc, argv);
	check(pipe(reader) == 0 && pipe(writer) == 0 && pipe2(neither, O_CLOEXEC) == 0, "pipe");
	check(fcntl(reader[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(writer[1], F_SETFL, O_NONBLOCK) == 0, "F_SETFL");
	for (int i = 0; i < 6; i++)
		flags[i] = fcntl(reader[0] + i, F_GETFL);

	test_daemon();
	test_waitsig();

	for (int i = 0; i < 6; i++)
		check(fcntl(reader[0] + i, F_GETFL) == flags[i], "flags of fd %d", reader[0] + i);
	check(fcntl(neither[0], F_GETFD) == FD_CLOEXEC && fcntl(neither[1], F_GETFD) == FD_CLOEXEC, "FD_CLOEXEC");
	check(fcntl(reader[0], F_GETFD) == 0, "FD_CLOEXEC appeared");
	check(read(reader[0], &byte, 1) == -1 && errno == EAGAIN, "the read end does not refuse to wait");
	errno = 0;
	poll_end.fd = neither[0];
	check(poll(&poll_end, 1, 0) == 0, "an empty pipe is readable");
	check(write(neither[1], "x", 1) == 1 && poll(&poll_end, 1, 0) == 1, "a full pipe is not readable");
	while (write(writer[1], "0123456789abcdef", 16) > 0)
		;
	check(errno == EAGAIN, "the write end does not refuse to wait");
	return pass();
}
