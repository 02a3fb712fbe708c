/* SPDX-License-Identifier: BSD-3-Clause */
int bpf_prog(void *arg)
{
    volatile int *nothing = 0;

    return *nothing;
}
