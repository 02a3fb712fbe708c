/* SPDX-License-Identifier: BSD-3-Clause */
/* Ethernet, VLAN, IPv4, TCP and UDP headers of 64 packets of 64 bytes; flows by a hash of addresses and ports. */
#include "bench.h"

static inline uint32_t be16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static inline uint32_t be32(const uint8_t *at)
{
	return be16(at) << 16 | be16(at + 2);
}

PROGRAM
{
	BEGIN(memory, length);
	const uint8_t *packets = memory + HEADER;
	uint64_t flows = 0, dropped = 0;

	for (uint64_t n = 0; n < LIMIT(64); n++) {
		OPAQUE(n);
		const uint8_t *at = packets + 64 * (n & 63);
		uint32_t type = be16(at + 12);

		at += 14;
		if (type == 0x8100) {
			type = be16(at + 2);
			at += 4;
		}
		if (type != 0x0800 || at[0] >> 4 != 4 || be16(at + 2) < 20) {
			dropped++;
			continue;
		}
		uint32_t words = (at[0] & 15) < 5 ? 5 : at[0] & 7;
		uint32_t protocol = at[9];
		uint32_t flow = be32(at + 12) ^ be32(at + 16) * 0x9e3779b1;

		if (protocol == 6 || protocol == 17) {
			const uint8_t *ports = at + 4 * words;

			flow ^= be32(ports) * 0x85ebca6b;
		}
		flow ^= flow >> 15;
		flows += flow & 1023;
	}
	return flows << 16 | dropped;
}
