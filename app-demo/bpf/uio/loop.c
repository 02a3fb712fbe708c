/* SPDX-License-Identifier: BSD-3-Clause */
/* Never ends, and only the budget stops it: the verifier cannot know that the condition stays true. */
int bpf_prog(void *arg)
{
	volatile int forever = 1;

	(void)arg;
	while (forever)
		;
	return 0;
}
