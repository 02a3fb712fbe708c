/* SPDX-License-Identifier: BSD-3-Clause */
int bpf_prog(void *arg)
{
    return *(volatile int *)((char *)arg + 0x10000);
}
