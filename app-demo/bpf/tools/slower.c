/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls that took long, one by one. */
#include "returned.h"

/** Nanoseconds that a call takes at least to be shown. */
const volatile __u64 least_ns = 0;

struct call {
	/** Nanoseconds on the image's clock when it returned. */
	__u64 when;
	struct returned returned;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
	__type(value, struct call);
} calls SEC(".maps");

SEC("return")
int call(struct UbpfReturnCtx *ctx)
{
	struct call *slow;

	if (ctx->ns < least_ns)
		return 0;
	slow = bpf_ringbuf_reserve(&calls, sizeof(*slow), 0);
	if (!slow)
		return 0;
	slow->when = bpf_ktime_get_ns();
	copy_returned(&slow->returned, ctx);
	bpf_ringbuf_submit(slow, 0);
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
