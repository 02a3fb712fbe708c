/* A hash: flags of updates, a key that goes, one that never was, and one too many. */
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2);
	__type(key, __u64);
	__type(value, __u32);
} seen SEC(".maps");

SEC("kprobe/myfun")
int life(void *ctx)
{
	__u64 one = 1, two = 2, three = 3;
	__u32 value = 5, *found;
	int good = 0;

	good += bpf_map_update_elem(&seen, &one, &value, BPF_EXIST) != 0;
	good += bpf_map_update_elem(&seen, &one, &value, BPF_NOEXIST) == 0;
	good += bpf_map_update_elem(&seen, &one, &value, BPF_NOEXIST) != 0;
	good += bpf_map_update_elem(&seen, &two, &value, BPF_ANY) == 0;
	good += bpf_map_update_elem(&seen, &three, &value, BPF_ANY) != 0;
	good += bpf_map_delete_elem(&seen, &two) == 0;
	good += bpf_map_delete_elem(&seen, &two) != 0;
	good += bpf_map_update_elem(&seen, &three, &value, BPF_ANY) == 0;
	found = bpf_map_lookup_elem(&seen, &three);
	if (found)
		good += *found;
	return good + (bpf_map_lookup_elem(&seen, &two) == 0);
}
