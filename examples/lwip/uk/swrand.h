/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lib-lwip of before Unikraft 0.17 asks for this header, which 0.17 no longer has. Newer ones do not include it.
 */
#ifndef UBPF_EXAMPLES_UK_SWRAND_H
#define UBPF_EXAMPLES_UK_SWRAND_H

#include <uk/arch/types.h>
#include <uk/config.h>

#if CONFIG_LIBUKRANDOM
#include <uk/random.h>

static inline __u32 uk_swrand_randr(void)
{
	__u32 number;

	uk_random_fill_buffer(&number, sizeof(number));
	return number;
}
#else
#include <uk/plat/time.h>

/* Port and sequence numbers that can be guessed: for an example on a machine without a source of random numbers. */
static inline __u32 uk_swrand_randr(void)
{
	static __u64 state;

	state = (state ^ (__u64)ukplat_monotonic_clock()) * 6364136223846793005ULL + 1442695040888963407ULL;
	return (__u32)(state >> 32);
}
#endif

#endif
