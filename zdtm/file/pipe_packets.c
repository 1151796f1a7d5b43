/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A pipe in packet mode (O_DIRECT, pipe(2)): unread packets keep their boundaries. */
#include "zdtm.h"

#include <fcntl.h>

int main(int argc, char **argv)
{
	static const char *const packets[] = { "one", "three", "a packet", "z" };
	char text[64];
	ssize_t length;
	int ends[2];

	test_init(argc, argv);
	check(pipe2(ends, O_DIRECT | O_NONBLOCK) == 0, "pipe2 with O_DIRECT");
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++)
		check(write(ends[1], packets[i], strlen(packets[i])) == (ssize_t)strlen(packets[i]), "write");

	test_daemon();
	test_waitsig();

	check(fcntl(ends[1], F_GETFL) & O_DIRECT, "O_DIRECT is lost");
	check(write(ends[1], "new", 3) == 3, "write");
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
		length = read(ends[0], text, sizeof(text));
		check(length == (ssize_t)strlen(packets[i]) && !memcmp(text, packets[i], length),
		      "read %zd bytes, expected '%s'", length, packets[i]);
	}
	check(read(ends[0], text, sizeof(text)) == 3 && !memcmp(text, "new", 3), "a new packet");
	return pass();
}
