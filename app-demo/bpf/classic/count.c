/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts the calls of the function it is attached to. */
#include "bpf_helpers.h"

int bpf_prog(void *arg)
{
	struct UbpfTracerCtx *ctx = arg;

	bpf_map_add(ctx->traced_function_address, COUNT_KEY, 1);
	return 0;
}
