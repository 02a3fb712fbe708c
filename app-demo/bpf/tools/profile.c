/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts what a timer interrupts: where, and by the calls that led there. */
#include "stacks.h"
#include <bpf/bpf_tracing.h>

/** Bits of an address; those above hold the number of the callers' trace + 1. */
#define ADDRESS 48

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, __u64);
} samples SEC(".maps");

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	__u64 key = PT_REGS_IP(&ctx->regs) & ((1ull << ADDRESS) - 1), none = 0, *count;
	__s64 callers;

	/* Without the place itself: it differs from sample to sample, and its callers do not. */
	callers = bpf_get_stackid(ctx, &stacks, 1);
	if (callers >= 0)
		key |= (__u64)(callers + 1) << ADDRESS;
	/* Without another try, as in counted.h: the budget of an interrupt is small, and a sample is one of many. */
	count = bpf_map_lookup_elem(&samples, &key);
	if (!count) {
		bpf_map_update_elem(&samples, &key, &none, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&samples, &key);
	}
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		count_lost();
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
