/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads from address 0. */
int bpf_prog(void *arg)
{
	volatile int *nowhere = (volatile int *)0;

	(void)arg;
	return *nowhere;
}
