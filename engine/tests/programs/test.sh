#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Prints 0, 1, 2, ...: a shell, now and then with a child. The pause is $1 seconds, 1 by default.
i=0
while :; do
	echo $i
	i=$(expr $i + 1)
	sleep "${1:-1}"
done
