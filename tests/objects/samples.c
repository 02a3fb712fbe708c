/* What a timer interrupts, and how often. */
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/** The function that works: the test says where it is. */
const volatile __u64 begin = 0;
const volatile __u64 end = 0;

struct {
	__u64 all, within, period, address, stack;
} seen;

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	__u64 ip = PT_REGS_IP(&ctx->regs);

	__sync_fetch_and_add(&seen.all, 1);
	if (ip >= begin && ip < end)
		__sync_fetch_and_add(&seen.within, 1);
	seen.period = ctx->sample_period;
	seen.address = ctx->addr;
	seen.stack = PT_REGS_SP(&ctx->regs);
	return 0;
}

/** It takes as long as it may. */
SEC("perf_event")
int slow(struct bpf_perf_event_data *ctx)
{
	volatile __u64 sum = 0;

	__sync_fetch_and_add(&seen.all, 1);
	for (__u64 n = 0; n < 1000000; n++)
		sum += ctx->regs.ip;
	return 0;
}

SEC("interval:ms:5")
int beat(struct bpf_perf_event_data *ctx)
{
	__sync_fetch_and_add(&seen.all, 1);
	seen.period = ctx->sample_period;
	return 0;
}

SEC("kprobe")
int at_function(struct pt_regs *ctx)
{
	return ctx->di;
}
