/* SPDX-License-Identifier: BSD-3-Clause */
/* Population count, reversal, parity, Gray code and leading zeros of 64-bit words, by arithmetic. */
#include "bench.h"

PROGRAM
{
	BEGIN(memory, length);
	const uint64_t *words = (const uint64_t *)(memory + HEADER);
	uint64_t mixed = 0;

	for (uint64_t i = 0; i < LIMIT(512); i++) {
		OPAQUE(i);
		uint64_t x = words[i], c = x, r = x, z = x;

		c -= c >> 1 & 0x5555555555555555;
		c = (c & 0x3333333333333333) + (c >> 2 & 0x3333333333333333);
		c = (c + (c >> 4)) & 0x0f0f0f0f0f0f0f0f;
		c = c * 0x0101010101010101 >> 56;
		r = (r >> 1 & 0x5555555555555555) | (r & 0x5555555555555555) << 1;
		r = (r >> 2 & 0x3333333333333333) | (r & 0x3333333333333333) << 2;
		r = (r >> 4 & 0x0f0f0f0f0f0f0f0f) | (r & 0x0f0f0f0f0f0f0f0f) << 4;
		z |= z >> 1;
		z |= z >> 2;
		z |= z >> 4;
		z |= z >> 8;
		z |= z >> 16;
		z |= z >> 32;
		mixed ^= (r + c) ^ (z - (x ^ x >> 1));
		mixed = mixed << 7 | mixed >> 57;
	}
	return mixed;
}
