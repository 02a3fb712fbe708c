/* SPDX-License-Identifier: BSD-3-Clause */
/* A multiply-and-rotate hash over 64-bit words. */
#include "bench.h"

static inline uint64_t rotate(uint64_t value, int count)
{
	return value << count | value >> (64 - count);
}

PROGRAM
{
	BEGIN(memory, length);
	const uint64_t *words = (const uint64_t *)(memory + HEADER);
	uint64_t a = 0x9e3779b97f4a7c15, b = 0xc2b2ae3d27d4eb4f;

	for (uint64_t i = 0; i < LIMIT(512); i++) {
		OPAQUE(i);
		a = rotate(a ^ words[i] * 0x87c37b91114253d5, 31) * 5 + 0x52dce729;
		b = rotate(b + a, 27) ^ words[i];
	}
	a ^= b >> 33;
	a *= 0xff51afd7ed558ccd;
	return a ^ a >> 29;
}
