/* SPDX-License-Identifier: BSD-3-Clause */
/* Insertion sort of 128 numbers of 32 bits. */
#include "bench.h"

#define COUNT 128

PROGRAM
{
	BEGIN(memory, length);
	const uint32_t *input = (const uint32_t *)(memory + HEADER);
	uint32_t *array = (uint32_t *)(memory + HEADER + INPUT);
	uint64_t mixed = 0;

	for (uint64_t i = 0; i < LIMIT(COUNT); i++) {
		OPAQUE(i);
		uint32_t value = input[i];
		uint64_t moved = 0;

		for (; moved < i; moved++) {
			OPAQUE(moved);
			uint32_t *at = array + ((i - moved - 1) & (COUNT - 1));

			if (at[0] <= value)
				break;
			at[1] = at[0];
		}
		array[(i - moved) & (COUNT - 1)] = value;
	}
	for (uint64_t i = 0; i < LIMIT(COUNT); i++) {
		OPAQUE(i);
		mixed = mixed * 31 + array[i];
	}
	return mixed;
}
