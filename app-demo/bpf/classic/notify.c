/* SPDX-License-Identifier: BSD-3-Clause */
/* Reports each call of the function it is attached to on the console. */
#include "bpf_helpers.h"

int bpf_prog(void *arg)
{
	struct UbpfTracerCtx *ctx = arg;

	bpf_notify(ctx->traced_function_address);
	return 0;
}
