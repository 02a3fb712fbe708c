/* The sample latency.c at a function of the tests; and what the function was given and returns, as an array and by helpers. */
#define FUNCTION "gcc_patchable_recursion"
#include "../../app-demo/bpf/linux/latency.c"

#ifdef ARRAY
__u64 argument, result;

SEC("fexit/" FUNCTION)
int BPF_PROG(as_array, __u64 n, __u64 sum)
{
	argument += n;
	result += sum;
	return 0;
}
#endif

#ifdef HELPERS
__u64 argument, result, ip, at_entry;
__s64 refused, count, cookie;

SEC("fexit/" FUNCTION)
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

SEC("fentry/" FUNCTION)
int no_result(void *ctx)
{
	__u64 value;

	if (bpf_get_func_ret(ctx, &value) == -95 && !value && !bpf_get_func_arg(ctx, 0, &value) && bpf_get_func_ip(ctx))
		at_entry += value;
	return 0;
}
#endif
