/* SPDX-License-Identifier: BSD-3-Clause */
/* How long the calls of functions take, of each by itself. */
#include "latency.h"
#include "slots.h"

const volatile __u32 places = PLACES;

/** The addresses by which functions are known; 0 for none. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PLACES);
	__type(key, __u32);
	__type(value, __u64);
} functions SEC(".maps");

/** In the same places. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PLACES);
	__type(key, __u32);
	__type(value, struct latency);
} latency SEC(".maps");

SEC("return")
int call(struct UbpfReturnCtx *ctx)
{
	__u64 ns = ctx->ns;
	__u32 at;
	struct latency *own;

	if (!slot_of(&functions, places, ctx->traced_function_address, 1, &at))
		return 0;
	own = bpf_map_lookup_elem(&latency, &at);
	if (!own)
		return 0;
	__sync_fetch_and_add(&own->calls, 1);
	__sync_fetch_and_add(&own->ns, ns);
	__sync_fetch_and_add(&own->slots[power_of_two(ns) & (POWERS - 1)], 1);
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
