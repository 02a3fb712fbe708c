/* SPDX-License-Identifier: BSD-3-Clause */
/* What a program at a return is told, as a record has it. */
#ifndef TOOLS_RETURNED_H
#define TOOLS_RETURNED_H

#include <bpf/bpf_helpers.h>
#include <ubpf/classic/config.h>

/** Bytes of the context up to how long the call took: programs that read no more run straight from the function. */
#define TOLD __builtin_offsetof(struct UbpfReturnCtx, entered)

/** As struct UbpfReturnCtx, without when the call was entered. */
struct returned {
	__u64 words[TOLD / 8];
};

static __always_inline void copy_returned(struct returned *to, const struct UbpfReturnCtx *ctx)
{
	__builtin_memcpy(to, ctx, TOLD);
}

#endif /* TOOLS_RETURNED_H */
