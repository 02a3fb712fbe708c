/* SPDX-License-Identifier: BSD-3-Clause */
/* Primes below 4096 by Eratosthenes, one byte each. */
#include "bench.h"

PROGRAM
{
	BEGIN(memory, length);
	uint8_t *composite = memory + HEADER + INPUT;
	uint64_t primes = 0;

	for (uint64_t i = 0; i < LIMIT(4096); i++) {
		OPAQUE(i);
		composite[i] = 0;
	}
	for (uint64_t i = 2; i < LIMIT(4096); i++) {
		OPAQUE(i);
		if (composite[i])
			continue;
		primes++;
		uint64_t j = i * i;

		/* The counter is for the proof that the loop ends. */
		for (uint64_t step = 0; step < 2048; step++) {
			OPAQUE(step);
			if (j >= LIMIT(4096))
				break;
			composite[j] = 1;
			j += i;
		}
	}
	return primes;
}
