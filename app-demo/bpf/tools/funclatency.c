/* SPDX-License-Identifier: BSD-3-Clause */
/* How long the calls of functions take, of all of them together. The engine knows when each call began. */
#include "latency.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct latency);
} latency SEC(".maps");

SEC("return")
int call(struct UbpfReturnCtx *ctx)
{
	__u32 all = 0;
	__u64 ns = ctx->ns;
	struct latency *latency_of_all = bpf_map_lookup_elem(&latency, &all);

	if (!latency_of_all)
		return 0;
	latency_of_all->calls += 1;
	latency_of_all->ns += ns;
	latency_of_all->slots[power_of_two(ns) & (POWERS - 1)] += 1;
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
