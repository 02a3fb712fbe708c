/* SPDX-License-Identifier: BSD-3-Clause */
/* How deep a thread is in calls of some functions. */
#ifndef TOOLS_NESTING_H
#define TOOLS_NESTING_H

#include "counted.h"

struct nesting {
	__u64 depth;
	/** What there was no room to tell of since the outermost call began. */
	__u64 lost;
};

/** By threads. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u64);
	__type(value, struct nesting);
} nestings SEC(".maps");

static __always_inline __u64 thread_number(void)
{
	return (__u32)bpf_get_current_pid_tgid();
}

/** A call begins. */
static __always_inline void begin(void)
{
	__u64 thread = thread_number();
	struct nesting none = {}, *nesting = counted(&nestings, &thread, &none);

	if (!nesting)
		return;
	if (nesting->depth == 0)
		nesting->lost = 0;
	nesting->depth += 1;
}

/** The calls that a thread is in; NULL for none. */
static __always_inline struct nesting *within(__u64 thread)
{
	struct nesting *nesting = bpf_map_lookup_elem(&nestings, &thread);

	return nesting && nesting->depth ? nesting : NULL;
}

/** One of them ends; whether it is the outermost. */
static __always_inline __u64 end(struct nesting *nesting)
{
	nesting->depth -= 1;
	return nesting->depth == 0;
}

#endif /* TOOLS_NESTING_H */
