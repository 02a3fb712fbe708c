/* SPDX-License-Identifier: BSD-3-Clause */
/* Arguments of traced functions, by the names that libbpf has for them. x86-64. */
#ifndef UBPF_BPF_TRACING_H
#define UBPF_BPF_TRACING_H

#include "types.h"

/* Where arguments are: the first six, the return address's place, the result, the instruction. */
#define PT_REGS_PARM1(x) ((x)->di)
#define PT_REGS_PARM2(x) ((x)->si)
#define PT_REGS_PARM3(x) ((x)->dx)
#define PT_REGS_PARM4(x) ((x)->cx)
#define PT_REGS_PARM5(x) ((x)->r8)
#define PT_REGS_PARM6(x) ((x)->r9)
#define PT_REGS_RET(x) ((x)->sp)
#define PT_REGS_FP(x) ((x)->bp)
#define PT_REGS_RC(x) ((x)->ax)
#define PT_REGS_SP(x) ((x)->sp)
#define PT_REGS_IP(x) ((x)->ip)

/* What programs at timers are given (`SEC("perf_event")`, `SEC("profile:99")`): what was interrupted, and nanoseconds from one time to the next. */
#if !defined(__VMLINUX_H__) && !defined(__LINUX_BPF_PERF_EVENT_H__)
struct bpf_perf_event_data {
	struct pt_regs regs;
	__u64 sample_period;
	__u64 addr;
};
#endif

/* The same by CO-RE. */
#define UBPF_CORE_REGISTER(x, register) ((struct pt_regs___core *)(void *)(x))->register
struct pt_regs___core {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
	unsigned long ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
} __attribute__((preserve_access_index));
#define PT_REGS_PARM1_CORE(x) UBPF_CORE_REGISTER(x, di)
#define PT_REGS_PARM2_CORE(x) UBPF_CORE_REGISTER(x, si)
#define PT_REGS_PARM3_CORE(x) UBPF_CORE_REGISTER(x, dx)
#define PT_REGS_PARM4_CORE(x) UBPF_CORE_REGISTER(x, cx)
#define PT_REGS_PARM5_CORE(x) UBPF_CORE_REGISTER(x, r8)
#define PT_REGS_PARM6_CORE(x) UBPF_CORE_REGISTER(x, r9)
#define PT_REGS_RC_CORE(x) UBPF_CORE_REGISTER(x, ax)
#define PT_REGS_SP_CORE(x) UBPF_CORE_REGISTER(x, sp)
#define PT_REGS_IP_CORE(x) UBPF_CORE_REGISTER(x, ip)

/* How many arguments a macro was given, and one name joined from two. */
#define ___bpf_nth(_, _1, _2, _3, _4, _5, _6, n, ...) n
#define ___bpf_narg(...) ___bpf_nth(_, ##__VA_ARGS__, 6, 5, 4, 3, 2, 1, 0)
#define ___bpf_concat(a, b) a##b
#define ___bpf_apply(macro, count) ___bpf_concat(macro, count)

#define ___bpf_registers0() ctx
#define ___bpf_registers1(x) ___bpf_registers0(), (void *)PT_REGS_PARM1(ctx)
#define ___bpf_registers2(x, ...) ___bpf_registers1(__VA_ARGS__), (void *)PT_REGS_PARM2(ctx)
#define ___bpf_registers3(x, ...) ___bpf_registers2(__VA_ARGS__), (void *)PT_REGS_PARM3(ctx)
#define ___bpf_registers4(x, ...) ___bpf_registers3(__VA_ARGS__), (void *)PT_REGS_PARM4(ctx)
#define ___bpf_registers5(x, ...) ___bpf_registers4(__VA_ARGS__), (void *)PT_REGS_PARM5(ctx)
#define ___bpf_registers6(x, ...) ___bpf_registers5(__VA_ARGS__), (void *)PT_REGS_PARM6(ctx)

#define ___bpf_words0() ctx
#define ___bpf_words1(x) ___bpf_words0(), (void *)ctx[0]
#define ___bpf_words2(x, ...) ___bpf_words1(__VA_ARGS__), (void *)ctx[1]
#define ___bpf_words3(x, ...) ___bpf_words2(__VA_ARGS__), (void *)ctx[2]
#define ___bpf_words4(x, ...) ___bpf_words3(__VA_ARGS__), (void *)ctx[3]
#define ___bpf_words5(x, ...) ___bpf_words4(__VA_ARGS__), (void *)ctx[4]
#define ___bpf_words6(x, ...) ___bpf_words5(__VA_ARGS__), (void *)ctx[5]

#define ___bpf_result0() ctx
#define ___bpf_result1(x) ___bpf_result0(), (void *)PT_REGS_RC(ctx)

/* A program that takes what it is given as arguments of C. */
#define ___bpf_typed(name, context, values, args...)                                             \
	name(context ctx);                                                                        \
	static inline __attribute__((always_inline)) __typeof__(name(0))                          \
		____##name(context ctx, ##args);                                                  \
	__typeof__(name(0)) name(context ctx)                                                     \
	{                                                                                         \
		_Pragma("GCC diagnostic push")                                                    \
		_Pragma("GCC diagnostic ignored \"-Wint-conversion\"")                            \
		return ____##name(___bpf_apply(values, ___bpf_narg(args))(args));                 \
		_Pragma("GCC diagnostic pop")                                                     \
	}                                                                                         \
	static inline __attribute__((always_inline)) __typeof__(name(0))                          \
		____##name(context ctx, ##args)

/** A program at a function's entry: `int BPF_KPROBE(name, int first, char *second) { … }`; `ctx` is its context. */
#define BPF_KPROBE(name, args...) ___bpf_typed(name, struct pt_regs *, ___bpf_registers, ##args)
/** A program at a function's exit, with the function's result. */
#define BPF_KRETPROBE(name, args...) ___bpf_typed(name, struct pt_regs *, ___bpf_result, ##args)
#define BPF_UPROBE(name, args...) BPF_KPROBE(name, ##args)
#define BPF_URETPROBE(name, args...) BPF_KRETPROBE(name, ##args)
/** A program whose context is the function's arguments, each a word (`fentry`, `fexit`). */
#define BPF_PROG(name, args...) ___bpf_typed(name, unsigned long long *, ___bpf_words, ##args)

#endif /* UBPF_BPF_TRACING_H */
