/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Records of a sequenced-packet pair keep their bounds, also an empty one (unix(7)). */
#include "zdtm.h"

#include <sys/socket.h>

int main(int argc, char **argv)
{
	static const char *records[] = { "first", "second record", "", "4" };
	char got[100];
	int ends[2], kind;
	socklen_t len = sizeof(kind);

	test_init(argc, argv);
	check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0, "socketpair");
	for (size_t i = 0; i < ARRAY_SIZE(records); i++)
		check(send(ends[0], records[i], strlen(records[i]), 0) == (ssize_t)strlen(records[i]), "send");

	test_daemon();
	test_waitsig();

	check(getsockopt(ends[1], SOL_SOCKET, SO_TYPE, &kind, &len) == 0 && kind == SOCK_SEQPACKET, "type %d", kind);
	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		ssize_t size = recv(ends[1], got, sizeof(got), MSG_DONTWAIT);

		check(size == (ssize_t)strlen(records[i]), "record %zu has %zd bytes", i, size);
		check(!memcmp(got, records[i], size), "record %zu differs", i);
	}
	check(recv(ends[1], got, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN, "there is another record");
	check(send(ends[1], "answer", 6, 0) == 6 && recv(ends[0], got, 3, 0) == 3, "send");
	check(recv(ends[0], got, 1, MSG_DONTWAIT) == -1, "the rest of a record was not dropped");
	return pass();
}
