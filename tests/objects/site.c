/* What programs are told of where they are attached: several at one function, each with its own number. */
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define FUNCTION "gcc_patchable_recursion"

struct told {
	__u64 function, number, argument, calls;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct told);
} told SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} calls SEC(".maps");

static __always_inline int tell(void *ctx, __u32 index, __u64 argument)
{
	volatile __u64 kept = argument; /* in the frame */
	struct told *of = bpf_map_lookup_elem(&told, &index);
	__u64 *own = bpf_map_lookup_elem(&calls, &index);
	__u64 function = bpf_get_func_ip(ctx);

	if (!of || !own)
		return 1;
	of->function = function;
	of->number = bpf_get_attach_cookie(ctx);
	of->argument += kept;
	of->calls += 1;
	*own += 1;
	return 0;
}

SEC("fentry/" FUNCTION)
int BPF_PROG(entry_one, __u64 n)
{
	return tell(ctx, 0, n);
}

SEC("fentry/" FUNCTION)
int BPF_PROG(entry_two, __u64 n)
{
	return tell(ctx, 1, 2 * n);
}

SEC("fexit/" FUNCTION)
int BPF_PROG(exit_one, __u64 n, __u64 sum)
{
	return tell(ctx, 2, sum);
}

SEC("kretprobe/" FUNCTION)
int exit_two(struct pt_regs *ctx)
{
	return tell(ctx, 3, PT_REGS_RC(ctx));
}

/* Nothing else: no frame, no argument. */
SEC("kprobe/gcc_patchable_myfun")
int alone(void *ctx)
{
	static __u64 number;

	number += bpf_get_attach_cookie(ctx);
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
