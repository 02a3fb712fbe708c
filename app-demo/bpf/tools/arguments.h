/* SPDX-License-Identifier: BSD-3-Clause */
/* Arguments of a function as numbers, and conditions on them. The tool sets which, before the programs are verified. */
#ifndef TOOLS_ARGUMENTS_H
#define TOOLS_ARGUMENTS_H

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/** An argument as it was passed: 1 is the first of those in registers. */
static __always_inline __u64 passed(struct pt_regs *ctx, __u32 argument)
{
	switch (argument) {
	case 1:
		return PT_REGS_PARM1(ctx);
	case 2:
		return PT_REGS_PARM2(ctx);
	case 3:
		return PT_REGS_PARM3(ctx);
	case 4:
		return PT_REGS_PARM4(ctx);
	case 5:
		return PT_REGS_PARM5(ctx);
	default:
		return PT_REGS_PARM6(ctx);
	}
}

/** Its lower bits; what stands above them in the register is nobody's. */
static __always_inline __u64 number(struct pt_regs *ctx, __u32 argument, __u32 bits, __u32 is_signed)
{
	__u32 above = (64 - bits) & 63;
	__u64 word = passed(ctx, argument) << above;

	return is_signed ? (__u64)((__s64)word >> above) : word >> above;
}

enum relation { ALWAYS, EQUAL, UNEQUAL, LESS, AT_MOST, MORE, AT_LEAST };

static __always_inline int holds(__u64 left, __u32 is_signed, __u32 relation, __u64 right)
{
	int less = is_signed ? (__s64)left < (__s64)right : left < right;

	switch (relation) {
	case EQUAL:
		return left == right;
	case UNEQUAL:
		return left != right;
	case LESS:
		return less;
	case AT_MOST:
		return less || left == right;
	case MORE:
		return !less && left != right;
	default:
		return !less;
	}
}

/** A condition that the tool may set; without one every call is wanted. */
#define CONDITION(n)                                                                              \
	const volatile __u32 if##n##_relation = ALWAYS;                                           \
	const volatile __u32 if##n##_argument = 1;                                                \
	const volatile __u32 if##n##_bits = 64;                                                   \
	const volatile __u32 if##n##_signed = 0;                                                  \
	const volatile __u64 if##n##_number = 0;                                                  \
	static __always_inline int fits##n(struct pt_regs *ctx)                                   \
	{                                                                                         \
		return if##n##_relation == ALWAYS ||                                              \
		       holds(number(ctx, if##n##_argument, if##n##_bits, if##n##_signed),         \
			     if##n##_signed, if##n##_relation, if##n##_number);                   \
	}

CONDITION(1)
CONDITION(2)
CONDITION(3)
CONDITION(4)

/** Whether all conditions hold. */
static __always_inline int wanted(struct pt_regs *ctx)
{
	return fits1(ctx) && fits2(ctx) && fits3(ctx) && fits4(ctx);
}

/** The argument that the tool was asked for. */
const volatile __u32 argument = 1;
const volatile __u32 argument_bits = 64;
const volatile __u32 argument_signed = 0;

static __always_inline __u64 asked_for(struct pt_regs *ctx)
{
	return number(ctx, argument, argument_bits, argument_signed);
}

#endif /* TOOLS_ARGUMENTS_H */
