/* Maps without keys: a queue, a stack, a filter; and a group array, in which everything is. */
#include <bpf/bpf_helpers.h>

struct call {
	__u64 number;
	__u32 kind, unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__type(value, struct call);
} oldest SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 4);
	__type(value, __u64);
} newest SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 1000);
	__type(value, __u64);
} known SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} groups SEC(".maps");

__u64 number, refused, new;

SEC("kprobe/gcc_patchable_myfun")
int hit(void *ctx)
{
	struct call call = { .number = ++number, .kind = 7 };
	__u64 kind = number % 10;

	if (bpf_current_task_under_cgroup(&groups, 0) != 1)
		return 0;
	if (bpf_map_push_elem(&oldest, &call, BPF_ANY))
		refused++;
	bpf_map_push_elem(&newest, &number, BPF_EXIST);
	if (bpf_map_peek_elem(&known, &kind)) {
		new++;
		bpf_map_push_elem(&known, &kind, BPF_ANY);
	}
	return 0;
}

SEC("kprobe/gcc_patchable_empty")
int drain(void *ctx)
{
	struct call call;
	__u64 last, sum = 0;
	int i;

	for (i = 0; i < 5; i++) {
		sum *= 10;
		if (!bpf_map_pop_elem(&oldest, &call))
			sum += call.number;
	}
	if (bpf_map_peek_elem(&newest, &last) || bpf_map_pop_elem(&newest, &last))
		return -1;
	return (int)(sum * 100 + last);
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
