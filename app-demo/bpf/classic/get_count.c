/* SPDX-License-Identifier: BSD-3-Clause */
/* Gives how often `count` saw the function whose name is the argument; 0 where it never did. */
#include "bpf_helpers.h"

int bpf_prog(void *arg)
{
	uint64_t function = bpf_get_ret_addr((const char *)arg);
	uint64_t count = bpf_map_get(function, COUNT_KEY);

	if (count == UINT64_MAX)
		return 0;
	return (int)count;
}
