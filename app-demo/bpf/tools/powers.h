/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts by powers of two. */
#ifndef TOOLS_POWERS_H
#define TOOLS_POWERS_H

#include <bpf/bpf_helpers.h>

/** The largest N of which 2^N is not above it; 0 for 0. Written out: of a loop clang makes more instructions, on the path of each call. */
static __always_inline __u32 power_of_two(__u64 value)
{
	__u32 power = 0;

	if (value >> 32) {
		value >>= 32;
		power += 32;
	}
	if (value >> 16) {
		value >>= 16;
		power += 16;
	}
	if (value >> 8) {
		value >>= 8;
		power += 8;
	}
	if (value >> 4) {
		value >>= 4;
		power += 4;
	}
	if (value >> 2) {
		value >>= 2;
		power += 2;
	}
	return power + (value >> 1 ? 1 : 0);
}

#endif /* TOOLS_POWERS_H */
