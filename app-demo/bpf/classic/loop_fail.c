/* SPDX-License-Identifier: BSD-3-Clause */
/* Never ends, and the verifier sees it. */
int bpf_prog(void *arg)
{
	(void)arg;
	while (1)
		;
}
