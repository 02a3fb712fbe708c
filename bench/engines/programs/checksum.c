/* SPDX-License-Identifier: BSD-3-Clause */
/* Adler-32 and the Internet's checksum over the same bytes. */
#include "bench.h"

PROGRAM
{
	BEGIN(memory, length);
	const uint8_t *input = memory + HEADER;
	uint32_t a = 1, b = 0, sum = 0;

	for (uint64_t i = 0; i < LIMIT(4096); i += 2) {
		OPAQUE(i);
		a += input[i];
		b += a;
		a += input[i + 1];
		b += a;
		sum += (uint32_t)input[i] << 8 | input[i + 1];
		if ((i & 4095) == 4094 || (i & 2047) == 2046) {
			a %= 65521;
			b %= 65521;
		}
	}
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint64_t)sum << 32 | b << 16 | a;
}
