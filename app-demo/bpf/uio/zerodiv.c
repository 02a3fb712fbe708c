/* SPDX-License-Identifier: BSD-3-Clause */
/* Divides by zero: the result is 0 (RFC 9669), and nothing stops. */
int bpf_prog(void *arg)
{
	volatile unsigned int one = 1;
	volatile unsigned int zero = 0;

	(void)arg;
	return (int)(one / zero);
}
