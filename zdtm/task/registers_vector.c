/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The main thread spins with known values in all vector registers while it is dumped. */
#include "machine.h"

int main(int argc, char **argv)
{
	const size_t size = machine_vectors_size();
	unsigned char *values = aligned_alloc(64, 4096);

	test_init(argc, argv);
	check(values && size <= 4096, "no memory for %zu bytes of registers", size);
	pattern_fill(values, size, 2);
	test_daemon();
	machine_spin_vectors(values);
	check(pattern_holds(values, size, 2), "vector registers have changed");
	return pass();
}
