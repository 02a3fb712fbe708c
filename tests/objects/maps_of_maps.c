/* Maps that hold maps: an array and a hash of them, which hold some of the object's from the start. */
#include <bpf/bpf_helpers.h>

struct counts {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} even SEC(".maps"), odd SEC(".maps"), others SEC(".maps");

struct seen {
	__u64 hits;
	__u32 last, unused;
};

struct numbers {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u64);
	__type(value, struct seen);
} small SEC(".maps"), large SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct counts);
} by_parity SEC(".maps") = {
	.values = { [0] = (void *)&even, [1] = (void *)&odd },
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 8);
	__type(key, __u32);
	__array(values, struct numbers);
} by_size SEC(".maps") = {
	.values = { [1] = (void *)&small, [2] = (void *)&large },
};

__u64 number, nowhere;

static __noinline void note(__u64 n)
{
	__u32 parity = n % 2, size = n < 10 ? 1 : 2, place = n % 4;
	struct seen fresh = { .hits = 1, .last = n };
	void *counts = bpf_map_lookup_elem(&by_parity, &parity);
	void *numbers = bpf_map_lookup_elem(&by_size, &size);
	struct seen *seen;
	__u64 *count;

	if (!counts || !numbers) {
		nowhere++;
		return;
	}
	count = bpf_map_lookup_elem(counts, &place);
	if (count)
		*count += 1;
	n %= 16;
	seen = bpf_map_lookup_elem(numbers, &n);
	if (seen) {
		seen->hits++;
		seen->last = n;
	} else if (bpf_map_update_elem(numbers, &n, &fresh, BPF_NOEXIST)) {
		nowhere++;
	}
}

SEC("kprobe/gcc_patchable_myfun")
int hit(void *ctx)
{
	note(number++);
	return 0;
}

static __always_inline __u64 of(void *map, __u32 key, __u32 place)
{
	void *inner = bpf_map_lookup_elem(map, &key);
	__u64 *count = inner ? bpf_map_lookup_elem(inner, &place) : 0;

	return count ? *count : 9;
}

static __always_inline __u64 hits(__u32 key, __u64 n)
{
	void *inner = bpf_map_lookup_elem(&by_size, &key);
	struct seen *seen = inner ? bpf_map_lookup_elem(inner, &n) : 0;

	return seen ? seen->hits : 0;
}

/* Notes 0 to 17, and shows what is where. */
SEC("kprobe/gcc_patchable_empty")
int all(void *ctx)
{
	int i;

	for (i = 0; i < 18; i++)
		note(i);
	/* 0 4 8 12 16, none; 1 5 9 13 17; no map; 17 is 1 in the large ones, 3 is not there. */
	return of(&by_parity, 0, 0) * 100000 + of(&by_parity, 0, 1) * 10000 + of(&by_parity, 1, 1) * 1000 +
	       of(&by_parity, 2, 1) * 100 + hits(2, 1) * 10 + hits(2, 3);
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
