/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef unsigned long __uptr, __sz;
typedef __u64 __paddr_t, __vaddr_t, __pte_t, __nsec;
typedef long __ssz;
#define PTRISERR(p) ((__uptr)(p) >= (__uptr)-512)
