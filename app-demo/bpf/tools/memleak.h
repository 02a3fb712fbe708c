/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Blocks of memory that were allocated and are not freed. Who includes this says how programs at returns are told of a call, and what the number of
 * its stack is: LEAVES, struct leaving, RESULT, GIVEN, stack_of. Functions differ in which argument is the size, or the block: there is a program for each
 * place, and the tool says which is where. A function that allocates by another one gives the same block, and the outer one returns last.
 */
#ifndef TOOLS_MEMLEAK_H
#define TOOLS_MEMLEAK_H

#include "slots.h"
#include <bpf/bpf_tracing.h>

struct block {
	__u64 size;
	/** Nanoseconds on the image's clock when it was allocated. */
	__u64 when;
	/** Number of the stack trace, or negative. */
	__s64 stack;
};

/** By address. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PLACES);
	__type(key, __u64);
	__type(value, struct block);
} blocks SEC(".maps");

/** How many blocks there were, and were freed again; one that is moved is another one. */
struct totals {
	__u64 allocated, freed;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct totals);
} totals SEC(".maps");

/** Not 0 when the tool reads what is told at the end: nothing changes from then on, so that all of it is of one moment. */
NUMBER(over);

static __always_inline int is_over(void)
{
	__u64 *value = only_of(&over);

	return !value || *value;
}

/** A block that is given to `realloc`: it is nobody's until that returns, and the old one again if it fails. */
struct moving {
	/** Number of the thread + 1. */
	__u64 thread;
	__u64 address;
	struct block block;
};

#define THREADS 256

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, THREADS);
	__type(key, __u32);
	__type(value, struct moving);
} moves SEC(".maps");

static __always_inline void count_block(int is_freed)
{
	struct totals *all = only_of(&totals);

	if (all)
		__sync_fetch_and_add(is_freed ? &all->freed : &all->allocated, 1);
}

static __always_inline int allocated(struct leaving *ctx, __u64 address, __u64 size)
{
	struct block block = { .size = size, .when = bpf_ktime_get_ns() };

	if (!address || address >= (__u64)-4095 || is_over())
		return 0;
	block.stack = stack_of(ctx);
	/* What an inner function has given is one block. */
	if (!bpf_map_lookup_elem(&blocks, &address))
		count_block(0);
	if (bpf_map_update_elem(&blocks, &address, &block, BPF_ANY))
		count_lost();
	return 0;
}

static __always_inline int freed(__u64 address)
{
	if (address && !is_over() && !bpf_map_delete_elem(&blocks, &address))
		count_block(1);
	return 0;
}

static __always_inline struct moving *moving(int take)
{
	__u32 at;

	return slot_of(&moves, THREADS, (__u32)bpf_get_current_pid_tgid() + 1, take, &at);
}

static __always_inline int moves_from(__u64 address)
{
	struct block *block = bpf_map_lookup_elem(&blocks, &address);
	struct moving *move;

	if (!address || !block || is_over())
		return 0;
	move = moving(1);
	if (!move)
		return 0;
	move->address = address;
	move->block = *block;
	return freed(address);
}

static __always_inline int moved(struct leaving *ctx, __u64 result, __u64 old, __u64 size)
{
	struct moving *move = moving(0);
	__u64 address;

	if (move && move->address == old && !is_over()) {
		address = move->address;
		move->address = 0;
		if (!result && size && address && !bpf_map_update_elem(&blocks, &address, &move->block, BPF_ANY))
			count_block(0);
	}
	return allocated(ctx, result, size);
}

/* For a size, or a block, in place `n`. */
#define AT(n)                                                                                     \
	SEC(LEAVES)                                                                               \
	int allocates_##n(struct leaving *ctx)                                                    \
	{                                                                                         \
		return allocated(ctx, RESULT(ctx), GIVEN(ctx, n - 1));                            \
	}                                                                                         \
	SEC(LEAVES)                                                                               \
	int counts_##n(struct leaving *ctx)                                                       \
	{                                                                                         \
		return allocated(ctx, RESULT(ctx), GIVEN(ctx, n - 1) * GIVEN(ctx, n));            \
	}                                                                                         \
	SEC(LEAVES)                                                                               \
	int places_##n(struct leaving *ctx)                                                       \
	{                                                                                         \
		__u64 address = 0;                                                                \
                                                                                                  \
		bpf_probe_read_kernel(&address, sizeof(address), (void *)GIVEN(ctx, n - 1));      \
		return (int)RESULT(ctx) ? 0 : allocated(ctx, address, GIVEN(ctx, n + 1));         \
	}                                                                                         \
	SEC("kprobe.multi")                                                                       \
	int frees_##n(struct pt_regs *ctx)                                                        \
	{                                                                                         \
		return freed(PT_REGS_PARM##n(ctx));                                               \
	}                                                                                         \
	SEC("kprobe.multi")                                                                       \
	int moves_##n(struct pt_regs *ctx)                                                        \
	{                                                                                         \
		return moves_from(PT_REGS_PARM##n(ctx));                                          \
	}                                                                                         \
	SEC(LEAVES)                                                                               \
	int moved_##n(struct leaving *ctx)                                                        \
	{                                                                                         \
		return moved(ctx, RESULT(ctx), GIVEN(ctx, n - 1), GIVEN(ctx, n));                 \
	}

AT(1)
AT(2)
AT(3)

char LICENSE[] SEC("license") = "BSD-3-Clause";

#endif /* TOOLS_MEMLEAK_H */
