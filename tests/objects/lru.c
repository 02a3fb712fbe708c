/* A hash that gives up old entries: there is always room, and what was added last is there. */
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} recent SEC(".maps");

SEC("kprobe/myfun")
int many(void *ctx)
{
	int refused = 0;
	__u32 last = 99;
	__u64 *found;

	for (__u32 i = 0; i < 20; i++) {
		__u64 value = i;

		refused += bpf_map_update_elem(&recent, &i, &value, BPF_ANY) != 0;
	}
	last = 19;
	found = bpf_map_lookup_elem(&recent, &last);
	return refused * 100 + (found ? (int)*found : -1);
}
