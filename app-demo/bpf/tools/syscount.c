/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts system calls of an image. */
#include "handlers.h"

/** Results from here on are errors. */
#define ERRORS -4095

const volatile __u32 places = PLACES;

struct total {
	/** The address by which it is known; 0 for none. */
	__u64 function;
	__u64 calls, errors, ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PLACES);
	__type(key, __u32);
	__type(value, struct total);
} totals SEC(".maps");

SEC("return")
int leave(struct UbpfReturnCtx *ctx)
{
	__s64 result = ctx->result;
	struct total *total;
	__u32 at;

	if (!ends_call(thread_number()))
		return 0;
	total = slot_of(&totals, places, ctx->traced_function_address, 1, &at);
	if (!total)
		return 0;
	__sync_fetch_and_add(&total->calls, 1);
	__sync_fetch_and_add(&total->ns, ctx->ns);
	if (result < 0 && result >= ERRORS)
		__sync_fetch_and_add(&total->errors, 1);
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
