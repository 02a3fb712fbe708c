/* Stack traces at a function's entry, at its return, and of what a timer interrupts: by their numbers, and as they are. */
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define MOST 127
/* BPF_F_USER_STACK, BPF_F_REUSE_STACKID */
#define USER_STACK (1 << 8)
#define REPLACE (1 << 10)

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 1024);
	__uint(key_size, 4);
	__uint(value_size, MOST * 8);
} stacks SEC(".maps");

/** How many traces each program has seen; then one of them. */
struct {
	__u64 entered, returned, sampled;
} seen;
__u64 trace[MOST];

static int number(void *ctx, __u64 *count)
{
	if (bpf_get_stackid(ctx, &stacks, USER_STACK | REPLACE) >= 0)
		__sync_fetch_and_add(count, 1);
	return 0;
}

SEC("kprobe")
int entered(struct pt_regs *ctx)
{
	return number(ctx, &seen.entered);
}

SEC("kretprobe")
int returned(struct pt_regs *ctx)
{
	if (bpf_get_stack(ctx, trace, sizeof(trace), USER_STACK) >= 8)
		__sync_fetch_and_add(&seen.returned, 1);
	return 0;
}

SEC("perf_event")
int sampled(struct bpf_perf_event_data *ctx)
{
	return number(ctx, &seen.sampled);
}
