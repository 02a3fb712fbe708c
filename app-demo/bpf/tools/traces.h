/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers of stack traces. */
#ifndef TOOLS_TRACES_H
#define TOOLS_TRACES_H

#include "counted.h"

/** The number of the call's stack in a map of traces, asked for again while others change that; the negative number of an error. */
static __always_inline long number_of(void *ctx, void *traces)
{
	long number = -BUSY;

	for (int n = 0; n < TRIES && number == -BUSY; n++)
		number = bpf_get_stackid(ctx, traces, 0);
	return number;
}

#endif /* TOOLS_TRACES_H */
