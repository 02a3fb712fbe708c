/* SPDX-License-Identifier: BSD-3-Clause */
/* Stack traces by number. */
#ifndef TOOLS_STACKS_H
#define TOOLS_STACKS_H

#include "traces.h"

/** Addresses of a trace at most, and traces. */
#define FRAMES 24
#define STACKS 2048

struct trace {
	__u64 addresses[FRAMES];
};

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, STACKS);
	__type(key, __u32);
	__type(value, struct trace);
} stacks SEC(".maps");

/** That of the call, or a negative number. */
static __always_inline __s64 stack_of(void *ctx)
{
	return number_of(ctx, &stacks);
}

#endif /* TOOLS_STACKS_H */
