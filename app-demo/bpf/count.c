/* SPDX-License-Identifier: BSD-3-Clause */
#include <ubpf/classic/bpf_helpers.h>
#include <ubpf/classic/config.h>

int bpf_prog(void *arg)
{
    struct UbpfTracerCtx *ctx = arg;
    uint64_t key = ctx->traced_function_address;
    uint64_t count = bpf_map_get(key, COUNT_KEY);

    bpf_map_put(key, COUNT_KEY, count == UINT64_MAX ? 1 : count + 1);
    return 0;
}
