/* How long the calls of a function take: a program at its entry and one at its return, which find each other by the stack of the call. And
 * what a function was given and returns, as an array and by helpers. */
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u64);
	__type(value, __u64);
} start SEC(".maps");

/* By the logarithm of the time in nanoseconds. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 32);
	__type(key, __u32);
	__type(value, __u64);
} slots SEC(".maps");

__u64 results, unpaired;

SEC("kprobe/gcc_patchable_recursion")
int BPF_KPROBE(enters)
{
	__u64 slot = PT_REGS_SP(ctx), now = bpf_ktime_get_ns();

	bpf_map_update_elem(&start, &slot, &now, BPF_ANY);
	return 0;
}

static __always_inline __u32 log2l(__u64 value)
{
	__u32 bits = 0;

	for (int shift = 16; shift; shift /= 2) {
		if (value >> shift) {
			value >>= shift;
			bits += shift;
		}
	}
	return bits;
}

SEC("kretprobe/gcc_patchable_recursion")
int BPF_KRETPROBE(returns, __u64 result)
{
	/* The return address is off the stack. */
	__u64 slot = PT_REGS_SP(ctx) - 8, *then = bpf_map_lookup_elem(&start, &slot);

	if (!then) {
		unpaired++;
		return 0;
	}
	__u64 took = bpf_ktime_get_ns() - *then;
	__u32 bits = log2l(took > 0xffffffff ? 0xffffffff : took) & 31;
	__u64 *count = bpf_map_lookup_elem(&slots, &bits);

	if (count)
		*count += 1;
	results += result;
	bpf_map_delete_elem(&start, &slot);
	return 0;
}

#ifdef ARRAY
__u64 argument, result, ip;
__s64 refused, count, cookie;

SEC("fexit/gcc_patchable_recursion")
int BPF_PROG(as_array, __u64 n, __u64 sum)
{
	argument += n;
	result += sum;
	return 0;
}
#endif

#ifdef HELPERS
__u64 argument, result, ip;
__s64 refused, count, cookie;

SEC("fexit/gcc_patchable_recursion")
int by_helpers(void *ctx)
{
	__u64 value;

	if (!bpf_get_func_arg(ctx, 0, &value))
		argument += value;
	if (!bpf_get_func_ret(ctx, &value))
		result += value;
	refused = bpf_get_func_arg(ctx, 6, &value);
	count = bpf_get_func_arg_cnt(ctx);
	ip = bpf_get_func_ip(ctx);
	cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

SEC("fentry/gcc_patchable_recursion")
int no_result(void *ctx)
{
	__u64 value;

	if (bpf_get_func_ret(ctx, &value) == -95 && !value && !bpf_get_func_arg(ctx, 0, &value) && bpf_get_func_ip(ctx))
		unpaired += value;
	return 0;
}
#endif
