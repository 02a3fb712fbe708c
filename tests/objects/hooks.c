/* Programs at a function: its arguments as registers and as words, counted in maps and data; and programs that cannot be there. */
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} sums SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, __u64);
} calls SEC(".maps");

const volatile __u64 factor = 1;
__u64 total;

static __noinline void add(__u32 index, __u64 more)
{
	__u64 *sum = bpf_map_lookup_elem(&sums, &index);

	if (sum)
		*sum += more;
}

SEC("kprobe/gcc_patchable_myfun")
int BPF_KPROBE(registers, __u64 first, __u64 second)
{
	add(0, factor * first);
	add(1, second);
	total++;
	return 0;
}

SEC("fentry/gcc_patchable_myfun")
int BPF_PROG(words, __u64 first, __u64 second)
{
	__u64 one = 1, *count = bpf_map_lookup_elem(&calls, &first);

	if (count)
		*count += 1;
	else
		bpf_map_update_elem(&calls, &first, &one, BPF_NOEXIST);
	add(2, first);
	add(3, second);
	return 0;
}

#ifndef ENTRIES_ONLY
SEC("kretprobe/gcc_patchable_myfun")
int at_exit(void *ctx)
{
	return 0;
}

SEC("tp/sched/sched_switch")
int unfired(void *ctx)
{
	return 0;
}
#endif

#ifdef BEHIND_THE_ENTRY
SEC("kprobe/gcc_patchable_myfun+0x10")
int behind(void *ctx)
{
	return 0;
}
#endif
