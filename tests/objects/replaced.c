/* Programs in two versions, of which one takes the place of the other: what they count says which of them has seen a call. */
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#ifndef VERSION
#define VERSION 1
#endif
#ifndef CALLS
#define CALLS 65536
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CALLS);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} entered SEC(".maps");

/* Calls by the version that has seen them, at the entry, at the return, and by the short way; and returns without an entry. */
__u64 counted[7];
#define AT_ENTRY 0
#define AT_RETURN 2
#define SHORT 4
#define UNPAIRED 6
#ifdef MORE
__u64 more;
#endif
const volatile __u32 version = VERSION;

#define ADD(number, more) __sync_fetch_and_add(&(number), more)

SEC("kprobe/gcc_patchable_myfun")
int BPF_KPROBE(marks, __u64 number)
{
	__u32 key = number;
	__u64 *count = bpf_map_lookup_elem(&seen, &key);

	if (count)
		ADD(*count, 1);
	ADD(counted[AT_ENTRY + (version == 2)], 1);
	return 0;
}

SEC("fentry/gcc_patchable_recursion")
int enters(void *ctx)
{
	__u64 place = bpf_get_current_pid_tgid(), one = 1, *depth = bpf_map_lookup_elem(&entered, &place);

	if (depth)
		ADD(*depth, 1);
	else
		bpf_map_update_elem(&entered, &place, &one, BPF_ANY);
	return 0;
}

SEC("fexit/gcc_patchable_recursion")
int returns(void *ctx)
{
	__u64 place = bpf_get_current_pid_tgid(), *depth = bpf_map_lookup_elem(&entered, &place);

	if (!depth || !*depth) {
		ADD(counted[UNPAIRED], 1);
		return 0;
	}
	ADD(*depth, -1);
	ADD(counted[AT_RETURN + (version == 2)], 1);
	return 0;
}

SEC("kretprobe/gcc_patchable_calls")
int ends(void *ctx)
{
	ADD(counted[AT_RETURN + (version == 2)], 1);
	return 0;
}

#ifdef MORE
SEC("uprobe")
int adds_more(void *ctx)
{
	return ++more;
}
#endif

#ifndef WITHOUT_SHORT
SEC("short")
int counts(void *ctx)
{
	ADD(counted[SHORT + (VERSION == 2)], 1);
	return 0;
}
#endif

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
	__array(values, int(void *));
} next SEC(".maps") = { .values = { (void *)&ends } };

SEC("kprobe")
int goes_on(void *ctx)
{
	bpf_tail_call(ctx, &next, 0);
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
