/* SPDX-License-Identifier: BSD-3-Clause */
int bpf_prog(void *arg)
{
    /* Both unknown to the compiler, which turns 1 / x into a comparison. */
    volatile unsigned int one = 1, zero = 0;

    (void)arg;
    return (int)(one / zero);
}
