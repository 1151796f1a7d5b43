/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Options of sockets that are not as in a new one (socket(7), unix(7)). */
#include "zdtm.h"

#include <sys/socket.h>
#include <sys/time.h>

static const struct {
	int name, value;
} options[] = {
	{ SO_SNDBUF, 33000 },	{ SO_RCVBUF, 44000 }, { SO_PASSCRED, 1 }, { SO_PRIORITY, 4 }, { SO_RCVLOWAT, 1 },
	{ SO_TIMESTAMP, 1 },	{ SO_MARK, 77 },      { SO_PEEK_OFF, 3 },
};

static int value_of(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	check(getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0, "getsockopt %d", name);
	return value;
}

int main(int argc, char **argv)
{
	struct timeval wait = { 7, 400000 }, none, got;
	struct linger linger = { 1, 5 }, linger_after;
	socklen_t len = sizeof(got);
	int ends[2], before[ARRAY_SIZE(options)], fresh;
	char text[10];

	test_init(argc, argv);
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && (fresh = socket(AF_UNIX, SOCK_DGRAM, 0)) >= 0, "socket");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		check(setsockopt(ends[0], SOL_SOCKET, options[i].name, &options[i].value, sizeof(int)) == 0,
		      "setsockopt %d", options[i].name);
		before[i] = value_of(ends[0], options[i].name);
	}
	check(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0, "SO_RCVTIMEO");
	check(setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0, "SO_LINGER");
	check(getsockopt(fresh, SOL_SOCKET, SO_SNDTIMEO, &none, &len) == 0, "SO_SNDTIMEO");
	check(write(ends[1], "abcdef", 6) == 6, "write");

	test_daemon();
	test_waitsig();

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		check(value_of(ends[0], options[i].name) == before[i], "option %d is %d instead of %d", options[i].name,
		      value_of(ends[0], options[i].name), before[i]);
	check(getsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &got, &len) == 0 && got.tv_sec == 7, "SO_RCVTIMEO");
	check(got.tv_usec == wait.tv_usec, "%ld microseconds", (long)got.tv_usec);
	check(getsockopt(fresh, SOL_SOCKET, SO_SNDTIMEO, &got, &len) == 0 && got.tv_sec == none.tv_sec, "SO_SNDTIMEO");
	len = sizeof(linger);
	check(getsockopt(ends[0], SOL_SOCKET, SO_LINGER, &linger_after, &len) == 0 && linger_after.l_linger == 5, "linger");
	check(recv(ends[0], text, 10, MSG_PEEK) == 3 && !memcmp(text, "def", 3), "SO_PEEK_OFF is not where it was");
	check(value_of(fresh, SO_PASSCRED) == 0 && value_of(ends[1], SO_PASSCRED) == 0, "the others have options, too");
	return pass();
}
