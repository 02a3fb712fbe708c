/* SPDX-License-Identifier: BSD-3-Clause */
#include <uk/arch/types.h>
typedef __u32 __lcpuidx;
unsigned long ukplat_lcpu_save_irqf(void);
void ukplat_lcpu_restore_irqf(unsigned long flags);
int ukplat_lcpu_irqs_disabled(void);
__lcpuidx ukplat_lcpu_idx(void);
__u32 ukplat_lcpu_count(void);
#define ukplat_per_lcpu_current(variable) (variable)
