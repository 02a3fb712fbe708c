/* SPDX-License-Identifier: BSD-3-Clause */
/* Greatest common divisors, and digits by constant and by variable bases. */
#include "bench.h"

PROGRAM
{
	BEGIN(memory, length);
	const uint32_t *input = (const uint32_t *)(memory + HEADER);
	uint64_t sum = 0;

	for (uint64_t i = 0; i < LIMIT(128); i++) {
		OPAQUE(i);
		uint32_t number = input[i & 127], a = number & 0xffff, b = number >> 16 | 1, value = number;

		for (int step = 0; step < 24 && b; step++) {
		OPAQUE(step);
			uint32_t rest = a % b;

			a = b;
			b = rest;
		}
		for (int digit = 0; digit < 10; digit++) {
		OPAQUE(digit);
			sum += value % 10;
			value /= 10;
		}
		sum += a + number / (number % 31 + 2);
	}
	return sum;
}
