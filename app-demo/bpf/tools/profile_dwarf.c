/* SPDX-License-Identifier: BSD-3-Clause */
/* Takes along what a timer interrupts. */
/* The budget of an interrupt does not pay for more reads. */
#define LAST_PIECES 0
#include "unwound.h"

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	struct sample *sample = taken(&ctx->regs);

	if (sample)
		bpf_ringbuf_submit(sample, 0);
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
