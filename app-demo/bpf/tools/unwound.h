/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stacks that are unwound by the tool: the registers that say how it came there, and the innermost part of the stack. A program defines ABOUT
 * before, words of its own in a sample, where it has such.
 */
#ifndef TOOLS_UNWOUND_H
#define TOOLS_UNWOUND_H

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#ifndef ABOUT
#define ABOUT 0
#endif

/** Bytes of the stack that are read at once, and how often at most: the stack may end before, and then less is read at once. */
#define PIECE 512
#define PIECES 8
#define LAST_PIECE 64
/** Of those so many at most. */
#ifndef LAST_PIECES
#define LAST_PIECES (PIECE / LAST_PIECE - 1)
#endif

struct sample {
	__u64 about[ABOUT];
	__u64 ip, sp, bp, bx, r12, r13, r14, r15;
	/** Bytes of the stack that were read. */
	__u64 read;
	unsigned char stack[PIECES * PIECE];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 * 1024);
	__type(value, struct sample);
} samples SEC(".maps");

/** Pieces that are read: what the budget pays for. */
const volatile __u64 pieces = PIECES;

/** A sample of where these registers are, to be submitted; NULL where there is no room. */
static __always_inline struct sample *taken(struct pt_regs *regs)
{
	struct sample *sample = bpf_ringbuf_reserve(&samples, sizeof(*sample), 0);
	__u64 read = 0;

	if (!sample)
		return NULL;
	sample->ip = PT_REGS_IP(regs);
	sample->sp = PT_REGS_SP(regs);
	sample->bp = regs->bp;
	sample->bx = regs->bx;
	sample->r12 = regs->r12;
	sample->r13 = regs->r13;
	sample->r14 = regs->r14;
	sample->r15 = regs->r15;
#pragma unroll
	for (__u64 at = 0; at < PIECES * PIECE; at += PIECE)
		if (read == at && at < pieces * PIECE &&
		    !bpf_probe_read_kernel(sample->stack + at, PIECE, (void *)(sample->sp + read)))
			read += PIECE;
#pragma unroll
	for (int n = 0; n < LAST_PIECES; n++)
		if (read <= PIECES * PIECE - PIECE && read < pieces * PIECE &&
		    !bpf_probe_read_kernel(sample->stack + read, LAST_PIECE, (void *)(sample->sp + read)))
			read += LAST_PIECE;
	sample->read = read;
	return sample;
}

#endif /* TOOLS_UNWOUND_H */
