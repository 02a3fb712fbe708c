/* Tail calls: an array of programs, of which some are there from the start. */
#include <bpf/bpf_helpers.h>

int second(void *ctx);
int third(void *ctx);
int circle(void *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 8);
	__uint(key_size, 4);
	__array(values, int(void *));
} calls SEC(".maps") = {
	.values = { [1] = (void *)&second, [2] = (void *)&third, [3] = (void *)&circle },
};

__u64 path, rounds;

SEC("kprobe/gcc_patchable_myfun")
int first(void *ctx)
{
	path = path * 10 + 1;
	bpf_tail_call(ctx, &calls, 1);
	path = path * 10 + 9;
	return path;
}

SEC("kprobe")
int second(void *ctx)
{
	path = path * 10 + 2;
	bpf_tail_call(ctx, &calls, 2);
	return path;
}

SEC("kprobe")
int third(void *ctx)
{
	path = path * 10 + 3;
	bpf_tail_call(ctx, &calls, 7);
	return path;
}

SEC("kprobe")
int circle(void *ctx)
{
	rounds++;
	bpf_tail_call(ctx, &calls, 3);
	return rounds;
}

SEC("fentry")
int other(void *ctx)
{
	return 8;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
