/* SPDX-License-Identifier: BSD-3-Clause */
struct uk_init_ctx {
	int argc;
};
#define uk_late_initcall(begin, end) int (*ukinit_##begin)(struct uk_init_ctx *) = begin
