/* SPDX-License-Identifier: BSD-3-Clause */
#include <uk/arch/types.h>
static inline unsigned long uk_lcpu_save_irqf(void) { return 0; }
static inline void uk_lcpu_restore_irqf(unsigned long flags) { (void)flags; }
static inline int uk_lcpu_irqs_disabled(void) { return 0; }
__uptr uk_pal_except_get_except_stack_base(void);
