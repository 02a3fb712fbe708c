/* SPDX-License-Identifier: BSD-3-Clause */
/* Does nothing: the cheapest program there is. */
int bpf_prog(void *arg)
{
	(void)arg;
	return 0;
}
