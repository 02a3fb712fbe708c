/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What programs with maps are written with, by the names that libbpf has for it:
 *     clang -target bpf -O2 -g -I include -c prog.c
 *     ubpf pack prog.o -o prog.pkg
 * Whoever has libbpf's headers uses those; the objects are the same.
 */
#ifndef UBPF_BPF_HELPERS_H
#define UBPF_BPF_HELPERS_H

#include "types.h"
#include "bpf_helper_defs.h"

/** The section of a program says what calls it, that of a map that it is one. */
#define SEC(name) __attribute__((section(name), used))

/* Members of a map's definition: a number, a type, values that are maps or programs. */
#define __uint(name, number) int (*name)[number]
#define __type(name, of) __typeof__(of) *name
#define __array(name, of) __typeof__(of) *name[]
#define __ulong(name, number) enum { name##_of_the_map = (number) } name

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif
#ifndef __weak
#define __weak __attribute__((weak))
#endif
#ifndef __hidden
#define __hidden __attribute__((visibility("hidden")))
#endif
#ifndef NULL
#define NULL ((void *)0)
#endif
#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif
#ifndef container_of
#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
#endif

/** What the image has by this name; with __weak, 0 where it has nothing of it. */
#define __ksym __attribute__((section(".ksyms")))
/** A setting of a Linux kernel, which an image is not: declare it __weak. */
#define __kconfig __attribute__((section(".kconfig")))

#ifndef barrier
#define barrier() __asm__ volatile("" ::: "memory")
#endif
/** The compiler knows nothing of the variable from here on. */
#ifndef barrier_var
#define barrier_var(variable) __asm__ volatile("" : "+r"(variable))
#endif
#ifndef likely
#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#endif

/** How a map is shared. */
enum libbpf_pin_type {
	LIBBPF_PIN_NONE,
	/** Objects that define a map of this name share it. */
	LIBBPF_PIN_BY_NAME,
};

#endif /* UBPF_BPF_HELPERS_H */
