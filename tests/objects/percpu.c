/* Values per CPU: counted with plain additions, and added up by another program. */
#include <bpf/bpf_helpers.h>

struct value {
	__u64 calls, numbers;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct value);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 8);
	__type(key, __u64);
	__type(value, __u64);
} by_number SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 4);
	__type(key, __u64);
	__type(value, __u64);
} lately SEC(".maps");

static __always_inline void count(void *map, __u64 key)
{
	__u64 one = 1, *value = bpf_map_lookup_elem(map, &key);

	if (value)
		*value += 1;
	else
		bpf_map_update_elem(map, &key, &one, BPF_NOEXIST);
}

SEC("kprobe/gcc_patchable_myfun")
int hit(void *ctx)
{
	static __u64 number;
	__u32 index = 1;
	struct value *value = bpf_map_lookup_elem(&counts, &index);

	if (!value)
		return 1;
	value->calls += 1;
	value->numbers += value->calls & 1;
	number += 1;
	count(&by_number, number & 3);
	count(&lately, number);
	return 0;
}

SEC("kprobe/gcc_patchable_empty")
int total(void *ctx)
{
	__u32 cpu, index = 1;
	__u64 key = 3, sum = 0, hashed = 0;

	for (cpu = 0; cpu < 16; cpu++) {
		struct value *value = bpf_map_lookup_percpu_elem(&counts, &index, cpu);
		__u64 *number = bpf_map_lookup_percpu_elem(&by_number, &key, cpu);

		if (!value || !number)
			return -1;
		sum += value->calls;
		hashed += *number;
	}
	if (bpf_map_lookup_percpu_elem(&counts, &index, cpu) || bpf_get_smp_processor_id() >= cpu)
		return -2;
	return (int)(100 * sum + hashed);
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
