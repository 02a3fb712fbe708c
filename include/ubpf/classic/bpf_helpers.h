/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Helpers of the classic interface, made from the rows of lib-ubpf-rs/src/helpers/builtin.rs by `cargo xtask headers`, for programs
 * compiled by
 *     clang -target bpf -O2 -c prog.c      or      bpf-gcc -O2 -c prog.c
 *     ubpf flat prog.o -o prog.bin
 */
#ifndef UBPF_CLASSIC_BPF_HELPERS_H
#define UBPF_CLASSIC_BPF_HELPERS_H

#include "config.h"

#ifdef __clang__

/**
 * Value in the two-key map, UINT64_MAX where there is none.
 * Helper number 0 is an assembler statement: the compiler deletes a call through a null pointer.
 */
static inline __attribute__((always_inline)) uint64_t
bpf_map_get(uint64_t key1, uint64_t key2)
{
	uint64_t value;

	__asm__ volatile("r1 = %1\n\tr2 = %2\n\tcall 0\n\t%0 = r0"
			 : "=r"(value)
			 : "ri"(key1), "ri"(key2)
			 : "r0", "r1", "r2", "r3", "r4", "r5", "memory");
	return value;
}

/** Inserts or replaces a value in the two-key map. */
static void (*const bpf_map_put)(uint64_t key1, uint64_t key2, uint64_t value) = (void *)1;

/** Removes a value from the two-key map. */
static void (*const bpf_map_del)(uint64_t key1, uint64_t key2) = (void *)2;

/** Prints `Notify: <function name>` on the unikernel's console. */
static void (*const bpf_notify)(uint64_t function_address) = (void *)3;

/** Address by which a traced function is known, 0 where there is none of this name. */
static uint64_t (*const bpf_get_ret_addr)(const char *function_name) = (void *)4;

/** Ends the program with result 0 when its argument is 0. */
static uint64_t (*const unwind)(uint64_t value) = (void *)5;

/**
 * Adds to a value of the two-key map, in one step: of several threads that count at a time none is lost. A key that is not
 * there counts as 0.
 */
static void (*const bpf_map_add)(uint64_t key1, uint64_t key2, uint64_t more) = (void *)32;

/**
 * Writes such a stack trace and zeros behind it; its bytes, or the negative number of an error and zeros: -14 where more
 * addresses are to be left out than there are, -22 for a size that is no multiple of 8 or a flag that is not known.
 */
static uint64_t (*const bpf_get_stack)(uint64_t ctx, void *to, uint64_t size, uint64_t flags) = (void *)33;

#else /* gcc */

/** Value in the two-key map, UINT64_MAX where there is none. */
uint64_t bpf_map_get(uint64_t key1, uint64_t key2) __attribute__((kernel_helper(0)));

/** Inserts or replaces a value in the two-key map. */
void bpf_map_put(uint64_t key1, uint64_t key2, uint64_t value) __attribute__((kernel_helper(1)));

/** Removes a value from the two-key map. */
void bpf_map_del(uint64_t key1, uint64_t key2) __attribute__((kernel_helper(2)));

/** Prints `Notify: <function name>` on the unikernel's console. */
void bpf_notify(uint64_t function_address) __attribute__((kernel_helper(3)));

/** Address by which a traced function is known, 0 where there is none of this name. */
uint64_t bpf_get_ret_addr(const char *function_name) __attribute__((kernel_helper(4)));

/** Ends the program with result 0 when its argument is 0. */
uint64_t unwind(uint64_t value) __attribute__((kernel_helper(5)));

/**
 * Adds to a value of the two-key map, in one step: of several threads that count at a time none is lost. A key that is not
 * there counts as 0.
 */
void bpf_map_add(uint64_t key1, uint64_t key2, uint64_t more) __attribute__((kernel_helper(32)));

/**
 * Writes such a stack trace and zeros behind it; its bytes, or the negative number of an error and zeros: -14 where more
 * addresses are to be left out than there are, -22 for a size that is no multiple of 8 or a flag that is not known.
 */
uint64_t bpf_get_stack(uint64_t ctx, void *to, uint64_t size, uint64_t flags) __attribute__((kernel_helper(33)));

#endif

#endif /* UBPF_CLASSIC_BPF_HELPERS_H */
