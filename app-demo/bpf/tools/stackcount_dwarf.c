/* SPDX-License-Identifier: BSD-3-Clause */
/* Takes along the stack of each call. */
#include "unwound.h"

SEC("kprobe.multi")
int call(struct pt_regs *ctx)
{
	struct sample *sample = taken(ctx);

	if (sample)
		bpf_ringbuf_submit(sample, 0);
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
