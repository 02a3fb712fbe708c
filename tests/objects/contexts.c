/* Contexts of sections that nothing in a unikernel fires, as Linux lays them out: each program sums up the first and the last of its own. */
#include <bpf/bpf_helpers.h>

struct words {
	__u64 words[13];
};

SEC("tp/sched/sched_switch")
int tracepoint(__u8 *ctx)
{
	return ctx[8] + ctx[8191];
}

SEC("tp/sched/sched_switch")
int beyond_tracepoint(__u8 *ctx)
{
	return ctx[8192];
}

SEC("raw_tp/sched_switch")
int raw(struct words *ctx)
{
	return ctx->words[0] + ctx->words[11];
}

SEC("raw_tp/sched_switch")
int beyond_raw(struct words *ctx)
{
	return ctx->words[12];
}

SEC("lsm/file_open")
int lsm(struct words *ctx)
{
	return ctx->words[0] + ctx->words[11];
}

SEC("iter/task")
int iter(struct words *ctx)
{
	return ctx->words[0] + ctx->words[11];
}

SEC("tp_btf/sched_switch")
int typed(struct words *ctx)
{
	return ctx->words[0] + ctx->words[11];
}

SEC("perf_event")
int sample(struct pt_regs *ctx)
{
	__u64 *more = (__u64 *)(ctx + 1);

	return *(__u64 *)ctx + more[1];
}

SEC("perf_event")
int beyond_sample(struct pt_regs *ctx)
{
	__u64 *more = (__u64 *)(ctx + 1);

	return more[2];
}
