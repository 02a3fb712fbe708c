/* SPDX-License-Identifier: BSD-3-Clause */
#include <ubpf/uio/bpf_helpers.h>

int bpf_prog(void *arg)
{
    (void)arg;
    for (;;)
        bpf_time_get_ns();
}
