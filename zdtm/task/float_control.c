/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Modes that differ from those of a new process stay, and take effect. */
#include "machine.h"

int main(int argc, char **argv)
{
	volatile double one = 1.0, three = 3.0;
	uint64_t initial, chosen;
	double toward_zero;

	test_init(argc, argv);
	initial = machine_float_control();
	machine_set_float_control();
	chosen = machine_float_control();
	check(chosen != initial, "the modes are those of a new process");
	toward_zero = -one / three;
	test_daemon();
	test_waitsig();
	check(machine_float_control() == chosen, "modes are %#jx, expected %#jx", machine_float_control(), chosen);
	check(-one / three == toward_zero, "-1/3 is rounded otherwise");
	return pass();
}
