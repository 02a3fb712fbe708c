/* Maps as plain structs, which compilers without BTF have. */
#include <bpf/bpf_helpers.h>

struct bpf_map_def {
	unsigned int type, key_size, value_size, max_entries, map_flags;
};

struct bpf_map_def SEC("maps") numbers = {
	.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 2,
};
struct bpf_map_def SEC("maps") others = {
	.type = BPF_MAP_TYPE_HASH, .key_size = 8, .value_size = 4, .max_entries = 16,
};

SEC("uprobe")
int program(void *ctx)
{
	__u32 index = 1;
	__u64 *value = bpf_map_lookup_elem(&numbers, &index);
	__u64 key = 5;
	__u32 one = 1;

	bpf_map_update_elem(&others, &key, &one, BPF_NOEXIST);
	if (!value)
		return -1;
	*value += 2;
	return (int)*value;
}
