/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every program is one function over the same memory: HEADER bytes that the harness fills in, INPUT bytes of data, WORK
 * bytes of room. It is compiled natively and for BPF, each in two variants. With PROVABLE the memory's length is compared
 * once and every limit is a constant, so that a verifier can prove all accesses and the end. Without it limits come from the
 * header and nothing says how long the memory is: every access through an index has to be checked while it runs.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

#define HEADER 16
#define INPUT 4096
#define WORK 4096
#define TOTAL (HEADER + INPUT + WORK)

#ifdef PROVABLE
#define BEGIN(memory, length)                                                                                                  \
	if ((length) < TOTAL)                                                                                                  \
	return 0
#define LIMIT(number) (number)
#else
#define BEGIN(memory, length) uint64_t scale = *(const uint32_t *)(memory)
/* The harness puts 1024 there. */
#define LIMIT(number) ((number) / 16 * scale / 64)
#endif

/* Hides from the compiler what it knows of a loop's counter, as programs for BPF do: the comparison and the mask stay. */
#if defined(__bpf__) && defined(PROVABLE)
#define OPAQUE(counter) __asm__ volatile("" : "+r"(counter))
#else
#define OPAQUE(counter)
#endif

#ifndef NAME
#define NAME bpf_prog
#endif
#define PROGRAM uint64_t NAME(uint8_t *memory, uint64_t length)

#endif
