/* SPDX-License-Identifier: BSD-3-Clause */
/* How deep a thread is in calls of some functions. */
#ifndef TOOLS_NESTING_H
#define TOOLS_NESTING_H

#include "slots.h"

/** Threads that are told apart. */
#define THREADS 256

struct nesting {
	/** Number of the thread + 1. */
	__u64 thread;
	__u64 depth;
	/** What there was no room to tell of since the outermost call began. */
	__u64 untold;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, THREADS);
	__type(key, __u32);
	__type(value, struct nesting);
} nestings SEC(".maps");

static __always_inline __u64 thread_number(void)
{
	return (__u32)bpf_get_current_pid_tgid();
}

/** A call begins. */
static __always_inline void begin(void)
{
	__u32 at;
	struct nesting *nesting = slot_of(&nestings, THREADS, thread_number() + 1, 1, &at);

	if (!nesting)
		return;
	if (nesting->depth == 0)
		nesting->untold = 0;
	nesting->depth += 1;
}

/** The calls that a thread is in; NULL for none. */
static __always_inline struct nesting *within(__u64 thread)
{
	__u32 at;
	struct nesting *nesting = slot_of(&nestings, THREADS, thread + 1, 0, &at);

	return nesting && nesting->depth ? nesting : NULL;
}

/** One of them ends; whether it is the outermost. */
static __always_inline __u64 end(struct nesting *nesting)
{
	nesting->depth -= 1;
	return nesting->depth == 0;
}

#endif /* TOOLS_NESTING_H */
