/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is called within a function, and how long it takes. Only returns are told: of a thread they come with those of the called before that of
 * the caller, so that nothing needs to be told of entries. Where VALUES is defined, calls bring what they were given and gave back.
 */
#ifndef TOOLS_GRAPH_H
#define TOOLS_GRAPH_H

#include "nesting.h"
#include <ubpf/classic/config.h>

/** The address by which the function is known. */
const volatile __u64 root = 0;

struct event {
	/** Nanoseconds on the image's clock. */
	__u64 when;
	__u64 thread;
	/** Whether this ends a call of the function that no other call of it encloses. */
	__u64 outermost;
	__u64 function;
	__u64 ns;
	/** When it was entered: from the time above and the length it would be too late, where something else ran before the program. */
	__u64 entered;
	/** Calls within it that there was no room to tell of. */
	__u64 lost;
#ifdef VALUES
	__u64 result;
	__u64 arguments[6];
#endif
};

/** Bytes for some 4,000 of them. */
#ifdef VALUES
#define ROOM (512 * 1024)
#else
#define ROOM (256 * 1024)
#endif

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, ROOM);
	__type(value, struct event);
} events SEC(".maps");

/** At the entry of the function. */
SEC("kprobe.multi")
int first(void *ctx)
{
	begin();
	return 0;
}

SEC("return")
int call(struct UbpfReturnCtx *ctx)
{
	__u64 when = bpf_ktime_get_ns(), thread = thread_number(), outermost = 0;
	struct nesting *nesting = within(thread);
	struct event *event;

	if (!nesting)
		return 0;
	if (ctx->traced_function_address == root)
		outermost = end(nesting);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		nesting->untold += 1;
		return 0;
	}
	event->when = when;
	event->thread = thread;
	event->outermost = outermost;
	event->function = ctx->traced_function_address;
	event->ns = ctx->ns;
	event->entered = ctx->entered;
	event->lost = nesting->untold;
#ifdef VALUES
	event->result = ctx->result;
	__builtin_memcpy(event->arguments, ctx->arguments, sizeof(event->arguments));
#endif
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";

#endif /* TOOLS_GRAPH_H */
