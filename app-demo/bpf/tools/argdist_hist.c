/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts the calls of a function by an argument, in powers of two. */
#include "arguments.h"
#include "powers.h"

#define POWERS 64

/** Entry N: from 2^N on. Entry 64 + N: numbers below zero with such an amount. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2 * POWERS);
	__type(key, __u32);
	__type(value, __u64);
} powers SEC(".maps");

SEC("kprobe.multi")
int call(struct pt_regs *ctx)
{
	__u64 value, *count;
	__u32 slot = 0;

	if (!wanted(ctx))
		return 0;
	value = asked_for(ctx);
	if (argument_signed && (__s64)value < 0) {
		value = -value;
		slot = POWERS;
	}
	slot += power_of_two(value);
	count = bpf_map_lookup_elem(&powers, &slot);
	if (count)
		*count += 1;
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
