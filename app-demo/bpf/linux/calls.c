/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counts the calls of a function as programs for Linux do: in an array and in its own data, in steps that can be set.
 *     clang -target bpf -O2 -g -I include -c calls.c
 *     ubpf pack calls.o -o calls.pkg
 *     > bpf_attach myfun calls.pkg
 *     > map dump calls.counts
 */
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u64);
	__type(value, __u64);
} seen SEC(".maps");

const volatile __u64 step = 1;
__u64 total;

static __noinline void add(__u32 index, __u64 more)
{
	__u64 *count = bpf_map_lookup_elem(&counts, &index);

	if (count)
		*count += more;
}

SEC("kprobe/myfun")
int calls(void *ctx)
{
	__u64 number = total + 1;

	total = number;
	add(0, step);
	add(1, 1);
	number &= 7;
	bpf_map_update_elem(&seen, &number, &total, BPF_ANY);
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
