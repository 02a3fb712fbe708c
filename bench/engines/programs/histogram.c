/* SPDX-License-Identifier: BSD-3-Clause */
/* How often each byte value occurs, and the values of the median and of the most frequent one. */
#include "bench.h"

PROGRAM
{
	BEGIN(memory, length);
	const uint8_t *input = memory + HEADER;
	uint32_t *counts = (uint32_t *)(memory + HEADER + INPUT);
	uint64_t most = 0, median = 0, seen = 0;

	for (uint64_t i = 0; i < LIMIT(256); i++)
		counts[i] = 0;
	for (uint64_t i = 0; i < LIMIT(4096); i++)
		counts[input[i]]++;
	for (uint64_t i = 0; i < LIMIT(256); i++) {
		OPAQUE(i);
		uint64_t count = counts[i];

		if (seen <= 2048)
			median = i;
		seen += count;
		if (count > most)
			most = count;
	}
	return most << 32 | median;
}
