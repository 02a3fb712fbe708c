/* Values by the longest prefix: addresses as IPv4 has them. */
#include <bpf/bpf_helpers.h>

struct key {
	__u32 length;
	unsigned char address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct key);
	__type(value, __u64);
} routes SEC(".maps");

static __noinline __u64 route(unsigned char first, unsigned char second, __u32 length)
{
	struct key key = { .length = length, .address = { first, second, 3, 4 } };
	__u64 *value = bpf_map_lookup_elem(&routes, &key);

	return value ? *value : 9;
}

static __noinline long add(unsigned char first, unsigned char second, __u32 length, __u64 value)
{
	struct key key = { .length = length, .address = { first, second, 99, 99 } };

	return bpf_map_update_elem(&routes, &key, &value, BPF_ANY);
}

SEC("kprobe/gcc_patchable_empty")
int routed(void *ctx)
{
	struct key eight = { .length = 8, .address = { 10, 0, 0, 0 } };
	__u64 all = 0;

	if (add(10, 0, 8, 1) || add(10, 7, 16, 2) || add(10, 6, 15, 3) || !add(0, 0, 33, 4))
		return -1;
	all = route(10, 1, 32);
	all = all * 10 + route(10, 7, 32);
	all = all * 10 + route(10, 6, 32);
	all = all * 10 + route(10, 7, 15);
	all = all * 10 + route(10, 7, 9);
	all = all * 10 + route(11, 7, 32);
	if (bpf_map_delete_elem(&routes, &eight))
		return -2;
	return (int)(all * 10 + route(10, 1, 32));
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
