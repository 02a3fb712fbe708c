/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
struct __regs;
struct ukarch_trap_ctx {
	struct __regs *regs;
	unsigned long fault_address;
};
#define UKARCH_TRAP_PAGE_FAULT trap_page_fault
#define UKARCH_TRAP_X86_GP trap_gp_fault
