/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls that there was no place for. */
#ifndef TOOLS_LOST_H
#define TOOLS_LOST_H

#include "number.h"

NUMBER(lost);

static __always_inline void count_lost(void)
{
	__u64 *count = only_of(&lost);

	if (count)
		__sync_fetch_and_add(count, 1);
}

#endif /* TOOLS_LOST_H */
