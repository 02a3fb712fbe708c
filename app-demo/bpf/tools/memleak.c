/* SPDX-License-Identifier: BSD-3-Clause */
/* Blocks of memory, with stacks that are followed by frame pointers. */
#include "stacks.h"
#include <ubpf/classic/config.h>

#define LEAVES "return"
#define leaving UbpfReturnCtx
#define RESULT(ctx) ((ctx)->result)
#define GIVEN(ctx, n) ((ctx)->arguments[n])

#include "memleak.h"
