/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads far beyond its argument. */
int bpf_prog(void *arg)
{
	volatile char *bytes = arg;

	return bytes[0x100000];
}
