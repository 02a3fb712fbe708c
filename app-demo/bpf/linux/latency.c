/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long the calls of a function take: a program at its entry and one at its return, which find each other by the place of the call on the
 * stack, and so also in recursion and in several threads.
 *     > prog attach latency.pkg --keep
 *     > map dump latency.slots
 * A slot counts the calls that took from 2 to the power of its number on, in nanoseconds.
 */
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#ifndef FUNCTION
#define FUNCTION "myfun"
#endif

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u64);
	__type(value, __u64);
} start SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 32);
	__type(key, __u32);
	__type(value, __u64);
} slots SEC(".maps");

__u64 unpaired;

SEC("kprobe/" FUNCTION)
int BPF_KPROBE(enters)
{
	__u64 place = PT_REGS_SP(ctx), now = bpf_ktime_get_ns();

	bpf_map_update_elem(&start, &place, &now, BPF_ANY);
	return 0;
}

static __always_inline __u32 log2(__u64 value)
{
	__u32 bits = 0;

	if (value > 0xffffffff)
		return 31;
#pragma unroll
	for (int shift = 16; shift; shift /= 2) {
		if (value >> shift) {
			value >>= shift;
			bits += shift;
		}
	}
	return bits;
}

SEC("kretprobe/" FUNCTION)
int BPF_KRETPROBE(returns)
{
	/* The return address is off the stack. */
	__u64 place = PT_REGS_SP(ctx) - 8, *then = bpf_map_lookup_elem(&start, &place), *count;
	__u32 slot;

	if (!then) {
		unpaired++;
		return 0;
	}
	slot = log2(bpf_ktime_get_ns() - *then);
	bpf_map_delete_elem(&start, &place);
	count = bpf_map_lookup_elem(&slots, &slot);
	if (count)
		*count += 1;
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
