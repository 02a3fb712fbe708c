/* SPDX-License-Identifier: BSD-3-Clause */
#include <ubpf/uio/bpf_helpers.h>

int bpf_prog(void *arg)
{
    return (int)bpf_probe_read(bpf_get_addr(arg), 8);
}
