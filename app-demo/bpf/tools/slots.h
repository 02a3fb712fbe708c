/* SPDX-License-Identifier: BSD-3-Clause */
/* Places for keys in an array, found without a lock: a thread that is stopped while it takes one holds up nobody. */
#ifndef TOOLS_SLOTS_H
#define TOOLS_SLOTS_H

#include "lost.h"

/** Places that are looked at for a key. */
#define LOOKED_AT 32

/** Entries of an array of which the tool says how many places it has: as `places`, a power of two. */
#define PLACES (1 << 20)

/** How a key is taken to a number. */
#define SPREAD 0x9e3779b97f4a7c15ull

/**
 * The place of a key that is not 0 in an array of `places`, a power of two, whose values begin with their key. Where it has none, one is
 * taken if `take` says so, and `at` becomes its number; NULL where there is none left nearby, and then that is counted.
 */
static __always_inline void *slot_of(void *array, __u32 places, __u64 key, int take, __u32 *at)
{
	__u32 first = key * SPREAD >> 32;

	for (int n = 0; n < LOOKED_AT; n++) {
		__u64 *slot, there;

		*at = (first + n) & (places - 1);
		slot = bpf_map_lookup_elem(array, at);
		if (!slot)
			return NULL;
		there = *(volatile __u64 *)slot;
		if (there == key)
			return slot;
		if (!there && !take)
			return NULL;
		if (!there)
			there = __sync_val_compare_and_swap(slot, 0, key);
		if (!there || there == key)
			return slot;
	}
	if (take)
		count_lost();
	return NULL;
}

#endif /* TOOLS_SLOTS_H */
