/* SPDX-License-Identifier: BSD-3-Clause */
/* Maps of one number. */
#ifndef TOOLS_NUMBER_H
#define TOOLS_NUMBER_H

#include <bpf/bpf_helpers.h>

#define NUMBER(name)                                                                              \
	struct {                                                                                  \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                 \
		__uint(max_entries, 1);                                                           \
		__type(key, __u32);                                                               \
		__type(value, __u64);                                                             \
	} name SEC(".maps")

/** What is in the first place of a map that has one. */
static __always_inline void *only_of(void *map)
{
	__u32 only = 0;

	return bpf_map_lookup_elem(map, &only);
}

#endif /* TOOLS_NUMBER_H */
