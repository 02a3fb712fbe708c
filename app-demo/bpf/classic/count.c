/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts the calls of the function it is attached to. */
#include "bpf_helpers.h"

int bpf_prog(void *arg)
{
	struct UbpfTracerCtx *ctx = arg;
	uint64_t function = ctx->traced_function_address;
	uint64_t count = bpf_map_get(function, COUNT_KEY);

	if (count == UINT64_MAX)
		count = 0;
	bpf_map_put(function, COUNT_KEY, count + 1);
	return 0;
}
