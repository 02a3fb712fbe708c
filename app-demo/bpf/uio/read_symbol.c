/* SPDX-License-Identifier: BSD-3-Clause */
/* Gives the first four bytes of the symbol whose name is the argument, -1 where there is none. */
#include "bpf_helpers.h"

int bpf_prog(void *arg)
{
	uint64_t address = bpf_get_addr((const char *)arg);

	if (!address)
		return -1;
	return (int)bpf_probe_read(address, 4);
}
