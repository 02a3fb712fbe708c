/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts the calls of functions by the stacks that led to them. */
#include "slots.h"
#include "traces.h"

#define MOST_FRAMES 127

struct stacks {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, MOST_FRAMES * sizeof(__u64));
	__uint(max_entries, PLACES);
};

/* A stack has one place in each map, and another one in each. */
struct stacks first SEC(".maps");
struct stacks second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PLACES);
	__type(key, __u64);
	__type(value, __u64);
} counts SEC(".maps");

SEC("kprobe.multi")
int call(struct pt_regs *ctx)
{
	long number = number_of(ctx, &first);
	__u64 key = number, none = 0, *count;

	if (number == -EXISTS) {
		number = number_of(ctx, &second);
		key = number | 1ull << 32;
	}
	if (number < 0) {
		count_lost();
		return 0;
	}
	count = counted(&counts, &key, &none);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
