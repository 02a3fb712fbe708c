/* SPDX-License-Identifier: BSD-3-Clause */
/* The types and numbers of Linux's interface that programs use (uapi/linux/types.h, uapi/linux/bpf.h). */
#ifndef UBPF_BPF_TYPES_H
#define UBPF_BPF_TYPES_H

/* Whoever includes Linux's own headers has them from there. */
#if !defined(__VMLINUX_H__) && !defined(_UAPI_LINUX_TYPES_H) && !defined(_LINUX_TYPES_H)
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
#endif

#if !defined(__VMLINUX_H__) && !defined(_UAPI__LINUX_BPF_H__)
/** Kinds of maps. */
enum bpf_map_type {
	BPF_MAP_TYPE_UNSPEC = 0,
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_STACK_TRACE = 7,
	BPF_MAP_TYPE_CGROUP_ARRAY = 8,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LRU_PERCPU_HASH = 10,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_HASH_OF_MAPS = 13,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_STACK = 23,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_BLOOM_FILTER = 30,
};

/** What an update may do. */
enum {
	/** Make an entry or replace it. */
	BPF_ANY = 0,
	/** Make one. */
	BPF_NOEXIST = 1,
	/** Replace one. */
	BPF_EXIST = 2,
};

/** What a ring can be asked for. */
enum {
	/** Bytes that wait. */
	BPF_RB_AVAIL_DATA = 0,
	/** Bytes that it has. */
	BPF_RB_RING_SIZE = 1,
	/** Bytes that were read since the beginning. */
	BPF_RB_CONS_POS = 2,
	/** Bytes that were written since the beginning. */
	BPF_RB_PROD_POS = 3,
};

/** Flags of maps. */
enum {
	BPF_F_NO_PREALLOC = 1U << 0,
	BPF_F_NO_COMMON_LRU = 1U << 1,
	BPF_F_RDONLY = 1U << 3,
	BPF_F_WRONLY = 1U << 4,
	BPF_F_ZERO_SEED = 1U << 6,
	BPF_F_RDONLY_PROG = 1U << 7,
	BPF_F_WRONLY_PROG = 1U << 8,
	BPF_F_MMAPABLE = 1U << 10,
};

/** Results of programs that look at packets. */
enum xdp_action { XDP_ABORTED = 0, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT };
#endif

#if !defined(__VMLINUX_H__) && !defined(_ASM_X86_PTRACE_H) && !defined(_SYS_USER_H) && !defined(UBPF_NO_PT_REGS)
/** The registers at a function's entry, in Linux's order. What was not kept reads as 0. */
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
	unsigned long ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#endif

#endif /* UBPF_BPF_TYPES_H */
