/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Helpers of a classic program. Each call is an assembler statement: the compiler would delete a call
 * through a null pointer (helper 0), and at -O0 it would call the others through a variable.
 */
#ifndef UBPF_CLASSIC_BPF_HELPERS_H
#define UBPF_CLASSIC_BPF_HELPERS_H

#include <stdint.h>

static inline __attribute__((always_inline)) uint64_t bpf_map_get(uint64_t key1, uint64_t key2)
{
    register uint64_t r0 __asm__("r0");
    register uint64_t r1 __asm__("r1") = (uint64_t)key1;
    register uint64_t r2 __asm__("r2") = (uint64_t)key2;
    __asm__ volatile("call 0" : "=r"(r0), "+r"(r1), "+r"(r2) : : "r3", "r4", "r5", "memory");
    return r0;
}

static inline __attribute__((always_inline)) void bpf_map_put(uint64_t key1, uint64_t key2, uint64_t value)
{
    register uint64_t r0 __asm__("r0");
    register uint64_t r1 __asm__("r1") = (uint64_t)key1;
    register uint64_t r2 __asm__("r2") = (uint64_t)key2;
    register uint64_t r3 __asm__("r3") = (uint64_t)value;
    __asm__ volatile("call 1" : "=r"(r0), "+r"(r1), "+r"(r2), "+r"(r3) : : "r4", "r5", "memory");
    (void)r0;
}

static inline __attribute__((always_inline)) void bpf_map_del(uint64_t key1, uint64_t key2)
{
    register uint64_t r0 __asm__("r0");
    register uint64_t r1 __asm__("r1") = (uint64_t)key1;
    register uint64_t r2 __asm__("r2") = (uint64_t)key2;
    __asm__ volatile("call 2" : "=r"(r0), "+r"(r1), "+r"(r2) : : "r3", "r4", "r5", "memory");
    (void)r0;
}

static inline __attribute__((always_inline)) void bpf_notify(uint64_t function_address)
{
    register uint64_t r0 __asm__("r0");
    register uint64_t r1 __asm__("r1") = (uint64_t)function_address;
    __asm__ volatile("call 3" : "=r"(r0), "+r"(r1) : : "r2", "r3", "r4", "r5", "memory");
    (void)r0;
}

static inline __attribute__((always_inline)) uint64_t bpf_get_ret_addr(const char * function_name)
{
    register uint64_t r0 __asm__("r0");
    register uint64_t r1 __asm__("r1") = (uint64_t)function_name;
    __asm__ volatile("call 4" : "=r"(r0), "+r"(r1) : : "r2", "r3", "r4", "r5", "memory");
    return r0;
}

static inline __attribute__((always_inline)) uint64_t unwind(uint64_t value)
{
    register uint64_t r0 __asm__("r0");
    register uint64_t r1 __asm__("r1") = (uint64_t)value;
    __asm__ volatile("call 5" : "=r"(r0), "+r"(r1) : : "r2", "r3", "r4", "r5", "memory");
    return r0;
}

#endif /* UBPF_CLASSIC_BPF_HELPERS_H */
