/* Every section of a function's return, each with what it is given. */
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

SEC("kretprobe/myfun")
int BPF_KRETPROBE(by_kretprobe, long result)
{
	return (int)result + 1;
}

SEC("uretprobe//proc/self/exe:myfun")
int BPF_KRETPROBE(by_uretprobe, long result)
{
	return (int)result + 2;
}

SEC("fexit/myfun")
int by_fexit(__u64 *ctx)
{
	return (int)ctx[1] + 3;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
