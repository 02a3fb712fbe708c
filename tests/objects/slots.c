/* Values per CPU, in each kind of map that has them: made, counted, found by their slot, and gone. */
#include <bpf/bpf_helpers.h>

#define PER_CPU(name, kind, of_key) \
	struct { \
		__uint(type, kind); \
		__uint(max_entries, 4); \
		__type(key, of_key); \
		__type(value, __u64); \
	} name SEC(".maps")

PER_CPU(places, BPF_MAP_TYPE_PERCPU_ARRAY, __u32);
PER_CPU(keys, BPF_MAP_TYPE_PERCPU_HASH, __u64);
PER_CPU(recent, BPF_MAP_TYPE_LRU_PERCPU_HASH, __u64);

SEC("kprobe/myfun")
int own(void *ctx)
{
	__u32 place = 3, beyond = 4, cpu = bpf_get_smp_processor_id();
	__u64 key = 77, one = 1, *value;
	int sum = 0;

	value = bpf_map_lookup_elem(&places, &place);
	if (value)
		*value += 5;
	value = bpf_map_lookup_percpu_elem(&places, &place, cpu);
	if (value)
		sum += *value;
	sum += bpf_map_lookup_elem(&places, &beyond) ? 1000 : 10;

	if (bpf_map_update_elem(&keys, &key, &one, BPF_NOEXIST))
		return -1;
	value = bpf_map_lookup_elem(&keys, &key);
	if (value)
		*value += 99;
	value = bpf_map_lookup_percpu_elem(&keys, &key, cpu);
	if (value)
		sum += *value;
	sum += bpf_map_delete_elem(&keys, &key) ? 1000 : 200;
	sum += bpf_map_lookup_elem(&keys, &key) ? 10000 : 0;

	for (__u64 i = 0; i < 9; i++)
		bpf_map_update_elem(&recent, &i, &i, BPF_ANY);
	key = 8;
	value = bpf_map_lookup_elem(&recent, &key);
	return sum + (value ? (int)*value * 1000 : -1000);
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
