/* SPDX-License-Identifier: BSD-3-Clause */
/* Blocks of memory, with stacks that the tool unwinds. */
#define ABOUT 2
#include "unwound.h"

#define LEAVES "kretprobe.multi"
#define leaving pt_regs
#define RESULT(ctx) PT_REGS_RC(ctx)
#define GIVEN(ctx, n) given(ctx, n)

static __always_inline __u64 given(struct pt_regs *ctx, __u32 n)
{
	__u64 value = 0;

	bpf_get_func_arg(ctx, n, &value);
	return value;
}

/** How many samples there were. */
__u64 taken_samples;

/** The number of a sample of the stack, or a negative one. */
static __always_inline __s64 stack_of(struct pt_regs *ctx)
{
	struct sample *sample = taken(ctx);
	__s64 number;

	if (!sample)
		return -1;
	number = __sync_fetch_and_add(&taken_samples, 1);
	sample->about[0] = number;
	sample->about[1] = bpf_get_func_ip(ctx);
	bpf_ringbuf_submit(sample, 0);
	return number;
}

#include "memleak.h"
