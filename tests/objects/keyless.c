/* Maps without keys, filled and drained: a queue gives the oldest, a stack the newest, a filter says what it may have; everything is in a group. */
#include <bpf/bpf_helpers.h>

#define KEYLESS(name, kind, entries) \
	struct { \
		__uint(type, kind); \
		__uint(max_entries, entries); \
		__type(value, __u64); \
	} name SEC(".maps")

KEYLESS(oldest, BPF_MAP_TYPE_QUEUE, 3);
KEYLESS(newest, BPF_MAP_TYPE_STACK, 3);
KEYLESS(known, BPF_MAP_TYPE_BLOOM_FILTER, 100);

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} groups SEC(".maps");

SEC("kprobe/myfun")
int drained(void *ctx)
{
	__u64 value, digits = 0;
	int full = 0;

	for (value = 1; value < 6; value++) {
		full += bpf_map_push_elem(&oldest, &value, BPF_ANY) != 0;
		full += bpf_map_push_elem(&newest, &value, BPF_EXIST) != 0;
		bpf_map_push_elem(&known, &value, BPF_ANY);
	}
	/* 1, and 1 again since it was only looked at, 2; 5, 4. */
	bpf_map_peek_elem(&oldest, &value);
	digits = digits * 10 + value;
	bpf_map_pop_elem(&oldest, &value);
	digits = digits * 10 + value;
	bpf_map_pop_elem(&oldest, &value);
	digits = digits * 10 + value;
	bpf_map_pop_elem(&newest, &value);
	digits = digits * 10 + value;
	bpf_map_pop_elem(&newest, &value);
	digits = digits * 10 + value;
	value = 4;
	digits = digits * 10 + (bpf_map_peek_elem(&known, &value) == 0);
	digits = digits * 10 + (bpf_current_task_under_cgroup(&groups, 0) == 1);
	return (int)digits * 10 + full;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
