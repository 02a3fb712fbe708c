/* SPDX-License-Identifier: BSD-3-Clause */
/* System calls of an image one by one. */
#include "handlers.h"
#include "returned.h"

struct call {
	/** Nanoseconds on the image's clock when it returned. */
	__u64 when;
	__u64 thread;
	struct returned returned;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 128 * 1024);
	__type(value, struct call);
} calls SEC(".maps");

SEC("return")
int leave(struct UbpfReturnCtx *ctx)
{
	__u64 thread = thread_number();
	struct call *call;

	if (!ends_call(thread))
		return 0;
	call = bpf_ringbuf_reserve(&calls, sizeof(*call), 0);
	if (!call)
		return 0;
	call->when = bpf_ktime_get_ns();
	call->thread = thread;
	copy_returned(&call->returned, ctx);
	bpf_ringbuf_submit(call, 0);
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
