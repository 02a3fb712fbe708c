/* SPDX-License-Identifier: BSD-3-Clause */
/* FNV-1a, byte by byte. */
#include "bench.h"

PROGRAM
{
	BEGIN(memory, length);
	const uint8_t *input = memory + HEADER;
	uint64_t hash = 0xcbf29ce484222325;

	for (uint64_t i = 0; i < LIMIT(4096); i++) {
		OPAQUE(i);
		hash ^= input[i];
		hash *= 0x100000001b3;
	}
	return hash;
}
