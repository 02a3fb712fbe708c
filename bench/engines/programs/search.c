/* SPDX-License-Identifier: BSD-3-Clause */
/* Horspool's search for a word of 8 bytes at the end of the input, with its table of 256 shifts. */
#include "bench.h"

#define WORD 8

PROGRAM
{
	BEGIN(memory, length);
	const uint8_t *input = memory + HEADER;
	uint8_t *shift = memory + HEADER + INPUT;
	uint64_t found = 0, at = 0;

	for (uint64_t i = 0; i < LIMIT(256); i++)
		shift[i] = WORD;
	for (uint64_t i = 0; i < WORD - 1; i++)
		shift[input[4080 + i]] = WORD - 1 - i;
	for (uint64_t step = 0; step < LIMIT(4096) && at < LIMIT(4080); step++) {
		OPAQUE(step);
		uint64_t equal = 0;

		for (; equal < WORD; equal++) {
			OPAQUE(equal);
			if (input[at + WORD - 1 - equal] != input[4080 + WORD - 1 - equal])
				break;
		}
		found += equal == WORD;
		at += shift[input[at + WORD - 1]];
	}
	return found << 32 | at;
}
