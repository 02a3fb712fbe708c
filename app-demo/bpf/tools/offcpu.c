/* SPDX-License-Identifier: BSD-3-Clause */
/* How long threads are in a function that leaves the CPU to others, by thread and stack. */
#include "counted.h"
#include "stacks.h"
#include <ubpf/classic/config.h>

/** Whether the thread that runs where no other can is told of, too. */
const volatile __u32 idle = 0;
/** Nanoseconds that one must be away at least. */
const volatile __u64 least_ns = 0;

struct away {
	__u64 times, ns, longest_ns;
	/** What the thread is called. */
	char name[16];
};

/** By number of the thread, and below that of the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct away);
} aways SEC(".maps");

SEC("return")
int back(struct UbpfReturnCtx *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid(), key;
	struct away *away;

	if (!(__u32)thread && !idle)
		return 0;
	if (ctx->ns < least_ns)
		return 0;
	key = thread << 32 | (__u32)stack_of(ctx);
	away = bpf_map_lookup_elem(&aways, &key);
	if (!away) {
		struct away first = {};

		bpf_get_current_comm(first.name, sizeof(first.name));
		away = counted(&aways, &key, &first);
	}
	if (!away)
		return 0;
	__sync_fetch_and_add(&away->times, 1);
	__sync_fetch_and_add(&away->ns, ctx->ns);
	if (ctx->ns > away->longest_ns)
		away->longest_ns = ctx->ns;
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
