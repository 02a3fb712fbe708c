/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts the calls of a function by the value of an argument. */
#include "arguments.h"
#include "counted.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} values SEC(".maps");

SEC("kprobe.multi")
int call(struct pt_regs *ctx)
{
	__u64 value, none = 0, *count;

	if (!wanted(ctx))
		return 0;
	value = asked_for(ctx);
	count = counted(&values, &value, &none);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
