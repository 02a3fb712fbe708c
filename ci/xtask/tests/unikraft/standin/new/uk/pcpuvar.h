/* SPDX-License-Identifier: BSD-3-Clause */
#include <uk/arch/types.h>
extern __u64 uk_pcpuvar_cpu_idx;
#define uk_pcpuvar_current_get(variable) (variable)
