/* SPDX-License-Identifier: BSD-3-Clause */
#include <uk/arch/types.h>
#define UK_NOFAULTF_NOPAGING 2
__sz uk_nofault_memcpy(char *to, const char *from, __sz len, unsigned long flags);
