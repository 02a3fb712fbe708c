/* SPDX-License-Identifier: BSD-3-Clause */
#include <ubpf/classic/bpf_helpers.h>
#include <ubpf/classic/config.h>

int bpf_prog(void *arg)
{
    uint64_t key = bpf_get_ret_addr(arg);
    uint64_t count = bpf_map_get(key, COUNT_KEY);

    return count == UINT64_MAX ? 0 : (int)count;
}
