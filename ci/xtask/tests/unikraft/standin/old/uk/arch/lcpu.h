/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
struct __regs {
	unsigned long r15;
	unsigned long rip;
};
