/* SPDX-License-Identifier: BSD-3-Clause */
int bpf_prog(void *arg)
{
    volatile int turn = 0;

    (void)arg;
    for (;;)
        turn++;
}
