/* SPDX-License-Identifier: BSD-3-Clause */
int bpf_prog(void *arg)
{
    (void)arg;
    while (1)
        ;
}
