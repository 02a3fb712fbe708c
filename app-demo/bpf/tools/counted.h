/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts under keys that come while a tool looks. */
#ifndef TOOLS_COUNTED_H
#define TOOLS_COUNTED_H

#include "lost.h"

#define EXISTS 17
#define BUSY 16

/** How often a map is asked for a place while others change it. */
#define TRIES 8

/** What is counted under a key, from `none` on; NULL where there is no place for it, and then that is counted. */
static __always_inline void *counted(void *map, const void *key, const void *none)
{
	for (int n = 0; n < TRIES; n++) {
		void *value = bpf_map_lookup_elem(map, key);
		long error;

		if (value)
			return value;
		/* Somebody else may put it there meanwhile. */
		error = bpf_map_update_elem(map, key, none, BPF_NOEXIST);
		if (error && error != -EXISTS && error != -BUSY)
			break;
	}
	count_lost();
	return NULL;
}

#endif /* TOOLS_COUNTED_H */
