/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The main thread spins with known values in all general purpose registers while it is dumped. */
#include "machine.h"

int main(int argc, char **argv)
{
	uint64_t expected[MACHINE_GPRS], values[MACHINE_GPRS];

	test_init(argc, argv);
	pattern_fill(expected, sizeof(expected), 1);
	memcpy(values, expected, sizeof(values));
	test_daemon();
	machine_spin_gprs(values);
	for (int i = 0; i < MACHINE_GPRS; i++)
		check(values[i] == expected[i], "register %d holds %#jx, expected %#jx", i, values[i], expected[i]);
	return pass();
}
