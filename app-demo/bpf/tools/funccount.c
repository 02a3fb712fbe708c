/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counts nothing itself: the engine counts the runs of each program at each function, and that is all that `funccount` needs. A program that
 * does nothing costs the application the least.
 */
#include <bpf/bpf_helpers.h>

SEC("kprobe.multi")
int call(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "BSD-3-Clause";
