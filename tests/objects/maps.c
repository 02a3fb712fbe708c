/* Maps by BTF: an array, a hash, one that is shared by name, in two programs that share them. */
#include <bpf/bpf_helpers.h>

struct key {
	__u32 pid;
	char name[12];
};

struct value {
	__u64 count, last;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct key);
	__type(value, struct value);
} seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 8);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} common SEC(".maps");

static __noinline __u64 add(void *map, __u32 index, __u64 more)
{
	__u64 *value = bpf_map_lookup_elem(map, &index);

	if (!value)
		return 0;
	*value += more;
	return *value;
}

SEC("kprobe/myfun")
int first(void *ctx)
{
	struct key key = { .pid = 7, .name = "first" };
	struct value one = { .count = 1 }, *value;

	value = bpf_map_lookup_elem(&seen, &key);
	if (value)
		value->count++;
	else
		bpf_map_update_elem(&seen, &key, &one, BPF_ANY);
	return (int)add(&counts, 1, 10);
}

SEC("kretprobe/myfun")
int second(void *ctx)
{
	struct key key = { .pid = 7, .name = "first" };
	struct value *value = bpf_map_lookup_elem(&seen, &key);

	return value ? (int)(value->count + add(&counts, 1, 0)) : -1;
}
