/* SPDX-License-Identifier: BSD-3-Clause */
/* Helpers of the uIO interface; see ../classic/bpf_helpers.h for where they come from and how programs are compiled. */
#ifndef UBPF_UIO_BPF_HELPERS_H
#define UBPF_UIO_BPF_HELPERS_H

/* The compiler's own type: no C library's headers are needed for the BPF target. */
typedef __UINT64_TYPE__ uint64_t;
#ifndef UINT64_MAX
#define UINT64_MAX __UINT64_MAX__
#endif

/** Argument of an attached program. */
struct UbpfTracerCtx {
	/** Address by which the traced function is known. */
	uint64_t traced_function_address;
	/** Scratch memory of this run. */
	char buf[120];
};

#ifdef __clang__

/** Value in the two-key map, UINT64_MAX where there is none. */
static uint64_t (*const bpf_map_get)(uint64_t key1, uint64_t key2) = (void *)1;

/** Inserts or replaces a value in the two-key map. */
static void (*const bpf_map_put)(uint64_t key1, uint64_t key2, uint64_t value) = (void *)2;

/** Removes a value from the two-key map. */
static void (*const bpf_map_del)(uint64_t key1, uint64_t key2) = (void *)3;

/** Address of a symbol of the image, 0 where there is none of this name. */
static uint64_t (*const bpf_get_addr)(const char *name) = (void *)4;

/** The 1 to 8 bytes at an application address as a number, 0 where they cannot be read. */
static uint64_t (*const bpf_probe_read)(uint64_t address, uint64_t size) = (void *)5;

/** Monotonic time in nanoseconds. */
static uint64_t (*const bpf_time_get_ns)(void) = (void *)6;

/** Prints a line on the unikernel's console. */
static void (*const bpf_puts)(const char *text) = (void *)7;

/** Prints `Notify: <function name>` on the unikernel's console. */
static void (*const bpf_notify)(uint64_t function_address) = (void *)8;

/** Address by which a traced function is known, 0 where there is none of this name. */
static uint64_t (*const bpf_get_ret_addr)(const char *function_name) = (void *)9;

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
uint64_t bpf_map_get(uint64_t key1, uint64_t key2) __attribute__((kernel_helper(1)));

/** Inserts or replaces a value in the two-key map. */
void bpf_map_put(uint64_t key1, uint64_t key2, uint64_t value) __attribute__((kernel_helper(2)));

/** Removes a value from the two-key map. */
void bpf_map_del(uint64_t key1, uint64_t key2) __attribute__((kernel_helper(3)));

/** Address of a symbol of the image, 0 where there is none of this name. */
uint64_t bpf_get_addr(const char *name) __attribute__((kernel_helper(4)));

/** The 1 to 8 bytes at an application address as a number, 0 where they cannot be read. */
uint64_t bpf_probe_read(uint64_t address, uint64_t size) __attribute__((kernel_helper(5)));

/** Monotonic time in nanoseconds. */
uint64_t bpf_time_get_ns(void) __attribute__((kernel_helper(6)));

/** Prints a line on the unikernel's console. */
void bpf_puts(const char *text) __attribute__((kernel_helper(7)));

/** Prints `Notify: <function name>` on the unikernel's console. */
void bpf_notify(uint64_t function_address) __attribute__((kernel_helper(8)));

/** Address by which a traced function is known, 0 where there is none of this name. */
uint64_t bpf_get_ret_addr(const char *function_name) __attribute__((kernel_helper(9)));

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

#endif /* UBPF_UIO_BPF_HELPERS_H */
