/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts system calls of an image, which are functions of it: a handler may call another of the same call, so the outermost counts. */
#include "nesting.h"
#include <ubpf/classic/config.h>

/** Results from here on are errors. */
#define ERRORS -4095

struct total {
	__u64 calls, errors, ns;
};

/** By the address under which the function is known. There is room for as many as the tool says. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct total);
} totals SEC(".maps");

SEC("kprobe.multi")
int enter(void *ctx)
{
	begin();
	return 0;
}

SEC("return")
int leave(struct UbpfReturnCtx *ctx)
{
	struct nesting *nesting = within(thread_number());
	__u64 function = ctx->traced_function_address;
	struct total none = {}, *total;
	__s64 result = ctx->result;

	if (!nesting || !end(nesting))
		return 0;
	total = counted(&totals, &function, &none);
	if (!total)
		return 0;
	__sync_fetch_and_add(&total->calls, 1);
	__sync_fetch_and_add(&total->ns, ctx->ns);
	if (result < 0 && result >= ERRORS)
		__sync_fetch_and_add(&total->errors, 1);
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
