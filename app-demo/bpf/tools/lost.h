/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls that there was no place for. */
#ifndef TOOLS_LOST_H
#define TOOLS_LOST_H

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

static __always_inline void count_lost(void)
{
	__u32 only = 0;
	__u64 *count = bpf_map_lookup_elem(&lost, &only);

	if (count)
		__sync_fetch_and_add(count, 1);
}

#endif /* TOOLS_LOST_H */
