/* SPDX-License-Identifier: BSD-3-Clause */
#include <uk/arch/types.h>
__nsec ukplat_monotonic_clock(void);
