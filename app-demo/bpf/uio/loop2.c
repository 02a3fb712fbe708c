/* SPDX-License-Identifier: BSD-3-Clause */
/* Never ends, with a helper call in the loop. */
#include "bpf_helpers.h"

int bpf_prog(void *arg)
{
	volatile uint64_t now = 1;

	(void)arg;
	while (now)
		now = bpf_time_get_ns() | 1;
	return 0;
}
