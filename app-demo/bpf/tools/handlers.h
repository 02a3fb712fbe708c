/* SPDX-License-Identifier: BSD-3-Clause */
/* System calls of an image, which are functions of it: a handler may call another of the same call, so the outermost counts. */
#ifndef TOOLS_HANDLERS_H
#define TOOLS_HANDLERS_H

#include "nesting.h"
#include <ubpf/classic/config.h>

/** At the entry of each handler. */
SEC("kprobe.multi")
int enter(void *ctx)
{
	begin();
	return 0;
}

/** A handler returns; whether it is the outermost of the thread. */
static __always_inline int ends_call(__u64 thread)
{
	struct nesting *nesting = within(thread);

	return nesting && end(nesting);
}

#endif /* TOOLS_HANDLERS_H */
