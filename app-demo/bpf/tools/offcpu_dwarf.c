/* SPDX-License-Identifier: BSD-3-Clause */
/* How long threads are in a function that leaves the CPU to others, each time with the stack. */
#define ABOUT 5
#include "unwound.h"
#include "slots.h"
#include <ubpf/classic/config.h>

/** Whether the thread that runs where no other can is told of, too. */
const volatile __u32 idle = 0;
/** Nanoseconds that one must be away at least. */
const volatile __u64 least_ns = 0;

#define THREADS 256

/** What the first of two programs at a return knows, for the second one. */
struct back {
	/** Number of the thread + 1. */
	__u64 thread;
	__u64 function, ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, THREADS);
	__type(key, __u32);
	__type(value, struct back);
} backs SEC(".maps");

static __always_inline struct back *back_of(__u64 thread, int take)
{
	__u32 at;

	return slot_of(&backs, THREADS, thread + 1, take, &at);
}

SEC("return")
int back(struct UbpfReturnCtx *ctx)
{
	__u64 thread = (__u32)bpf_get_current_pid_tgid();
	struct back *back = back_of(thread, 1);

	if (!back)
		return 0;
	back->function = ctx->traced_function_address;
	back->ns = ctx->ns;
	return 0;
}

/* The registers are told to programs of this section alone; it runs right behind the one above. */
SEC("kretprobe.multi")
int stack(struct pt_regs *ctx)
{
	__u64 thread = (__u32)bpf_get_current_pid_tgid();
	struct back *back = back_of(thread, 0);
	struct sample *sample;

	if (!back || (!thread && !idle) || back->ns < least_ns)
		return 0;
	sample = taken(ctx);
	if (!sample)
		return 0;
	sample->about[0] = thread;
	sample->about[1] = back->function;
	sample->about[2] = back->ns;
	bpf_get_current_comm(&sample->about[3], 16);
	bpf_ringbuf_submit(sample, 0);
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
