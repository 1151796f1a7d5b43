/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Seals of memfds (F_GET_SEALS, fcntl(2)): the same set, and in force. */
#include "zdtm.h"

#include <fcntl.h>

#define WRITE_SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

int main(int argc, char **argv)
{
	char text[8];
	int sealed, open_ended, unsealable;

	test_init(argc, argv);
	sealed = memfd_create("sealed", MFD_ALLOW_SEALING);
	open_ended = memfd_create("open ended", MFD_ALLOW_SEALING);
	unsealable = memfd_create("unsealable", 0);
	check(sealed >= 0 && open_ended >= 0 && unsealable >= 0, "memfd_create");
	check(write(sealed, "text", 4) == 4, "write");
	check(fcntl(sealed, F_ADD_SEALS, WRITE_SEALS | F_SEAL_SEAL) == 0, "F_ADD_SEALS");
	check(fcntl(open_ended, F_ADD_SEALS, F_SEAL_SHRINK) == 0, "F_ADD_SEALS");

	test_daemon();
	test_waitsig();

	check(fcntl(sealed, F_GET_SEALS) == (WRITE_SEALS | F_SEAL_SEAL), "seals are %#x", fcntl(sealed, F_GET_SEALS));
	check(fcntl(open_ended, F_GET_SEALS) == F_SEAL_SHRINK, "seals are %#x", fcntl(open_ended, F_GET_SEALS));
	check(fcntl(unsealable, F_GET_SEALS) == F_SEAL_SEAL, "seals are %#x", fcntl(unsealable, F_GET_SEALS));
	check(pread(sealed, text, sizeof(text), 0) == 4 && !memcmp(text, "text", 4), "contents");
	check(write(sealed, "x", 1) == -1 && errno == EPERM, "a sealed memfd can be written");
	check(ftruncate(sealed, 1) == -1 && errno == EPERM, "a sealed memfd can be cut");
	errno = 0;
	check(ftruncate(open_ended, 100) == 0, "a memfd sealed against shrinking cannot grow");
	check(ftruncate(open_ended, 1) == -1 && errno == EPERM, "it can shrink");
	errno = 0;
	check(fcntl(open_ended, F_ADD_SEALS, F_SEAL_GROW) == 0, "it takes no more seals");
	return pass();
}
