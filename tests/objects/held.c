/* Maps that hold maps and programs. */
#include <bpf/bpf_helpers.h>

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} one SEC(".maps"), two SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = { [1] = (void *)&one, [3] = (void *)&two },
};

int tail(void *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int(void *));
} calls SEC(".maps") = {
	.values = { [1] = (void *)&tail },
};

SEC("xdp")
int tail(void *ctx)
{
	return 5;
}

SEC("xdp")
int start(void *ctx)
{
	__u32 key = 3;
	void *map = bpf_map_lookup_elem(&outer, &key);

	if (map && bpf_map_lookup_elem(map, &key))
		return 1;
	bpf_tail_call(ctx, &calls, 1);
	return 2;
}
