/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
struct __regs;
#define UK_INTCTLR_EVENT_IRQ standin_irq
struct uk_intctlr_event_irq_data {
	struct __regs *regs;
	unsigned long irq;
};
typedef int (*uk_intctlr_irq_handler_func_t)(void *);
int uk_intctlr_irq_register(unsigned int irq, uk_intctlr_irq_handler_func_t handler, void *arg);
