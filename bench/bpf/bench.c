/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs of an object that do one thing each, and one that does nothing. */
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counter SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} ring SEC(".maps");

SEC("fentry")
int nothing(void *ctx)
{
	return 0;
}

SEC("fentry")
int asks(void *ctx)
{
	return bpf_get_func_ip(ctx) == bpf_get_attach_cookie(ctx);
}

SEC("fentry")
int counts(void *ctx)
{
	__u32 only = 0;
	__u64 *count = bpf_map_lookup_elem(&counter, &only);

	if (count)
		*count += 1;
	return 0;
}

SEC("fentry")
int looks_up(void *ctx)
{
	__u64 key = 7, *value = bpf_map_lookup_elem(&hash, &key);

	return value && *value;
}

SEC("fentry")
int updates(void *ctx)
{
	__u64 key = 7, value = 1;

	bpf_map_update_elem(&hash, &key, &value, BPF_ANY);
	return 0;
}

SEC("fentry")
int reserves(void *ctx)
{
	__u64 *record = bpf_ringbuf_reserve(&ring, 16, 0);

	if (!record)
		return 0;
	record[0] = 1;
	record[1] = 2;
	bpf_ringbuf_submit(record, 0);
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
