/* Helpers that call functions of the program. */
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} squares SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u64);
	__type(value, __u32);
} names SEC(".maps");

struct sum {
	__u64 of;
	__u64 until;
};

static long add(__u32 index, void *context)
{
	struct sum *sum = context;

	sum->of += index;
	return sum->of >= sum->until;
}

static long outer(__u32 index, void *context)
{
	struct sum inner = { 0, 1000000 };

	bpf_loop(index, add, &inner, 0);
	((struct sum *)context)->of += inner.of;
	return 0;
}

static long store(__u32 index, void *context)
{
	__u64 value = (__u64)index * index, key = 100 + index;
	__u32 number = index, half = index;

	bpf_map_update_elem(&squares, &number, &value, 0);
	if (index % 2)
		bpf_map_update_elem(&names, &key, &half, 0);
	return 0;
}

static long collect(void *map, const __u32 *key, __u64 *value, void *context)
{
	*(__u64 *)context += *value;
	return *key == 6;
}

static long take_away(void *map, const __u64 *key, __u32 *value, void *context)
{
	*(__u64 *)context += *key * 10 + *value;
	bpf_map_delete_elem(map, key);
	return 0;
}

SEC("prog")
int rounds(void)
{
	struct sum sum = { 0, 1000000 };

	/* 0 + 1 + ... + 9 */
	return bpf_loop(10, add, &sum, 0) * 1000 + sum.of;
}

SEC("prog")
int ended(void)
{
	struct sum sum = { 0, 6 };

	/* 0 + 1 + 2 + 3, in four rounds */
	return bpf_loop(10, add, &sum, 0) * 1000 + sum.of;
}

SEC("prog")
int nested(void)
{
	struct sum sum = { 0, 1000000 };

	/* 0 + 0 + 1 + 3 + 6 */
	bpf_loop(5, outer, &sum, 0);
	return sum.of;
}

SEC("prog")
int wrong(void)
{
	struct sum sum = { 0, 1000000 };

	return -(bpf_loop(10, add, &sum, 1) + bpf_loop(1 << 24, add, &sum, 0)) * 100 + sum.of;
}

SEC("prog")
int elements(void)
{
	__u64 all = 0;

	bpf_loop(8, store, &all, 0);
	/* 0 + 1 + 4 + ... + 36, in seven calls */
	return bpf_for_each_map_elem(&squares, collect, &all, 0) * 1000 + all;
}

SEC("prog")
int deleted(void)
{
	__u64 all = 0;
	long first, second;

	bpf_loop(8, store, &all, 0);
	/* 1010 + 1 + 1030 + 3 + 1050 + 5 + 1070 + 7, in four calls */
	first = bpf_for_each_map_elem(&names, take_away, &all, 0);
	second = bpf_for_each_map_elem(&names, take_away, &all, 0);
	return first * 100000 + second * 10000 + all;
}

static long again(__u32 index, void *context)
{
	return bpf_loop(2, again, context, 0);
}

SEC("circle")
int recursive(void)
{
	return bpf_loop(2, again, 0, 0);
}

static long forever(__u32 index, void *context)
{
	(*(volatile __u64 *)context)++;
	return 0;
}

SEC("long")
int endless(void)
{
	__u64 count = 0;

	return bpf_loop(1 << 23, forever, &count, 0);
}
