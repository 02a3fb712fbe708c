/* SPDX-License-Identifier: BSD-3-Clause */
/* How long the calls of functions take, of each by itself. */
#include "counted.h"
#include "latency.h"

/** By the address under which the function is known. There is room for as many as the tool says. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct latency);
} latency SEC(".maps");

struct latency none;

SEC("return")
int call(struct UbpfReturnCtx *ctx)
{
	__u64 function = ctx->traced_function_address, ns = ctx->ns;
	struct latency *own = counted(&latency, &function, &none);

	if (!own)
		return 0;
	__sync_fetch_and_add(&own->calls, 1);
	__sync_fetch_and_add(&own->ns, ns);
	__sync_fetch_and_add(&own->slots[power_of_two(ns) & (POWERS - 1)], 1);
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
