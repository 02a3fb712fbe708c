/* SPDX-License-Identifier: BSD-3-Clause */
/* What programs and applications of the classic interface agree on. */
#ifndef UBPF_CLASSIC_CONFIG_H
#define UBPF_CLASSIC_CONFIG_H

/* The compiler's own type: no C library's headers are needed for the BPF target. */
typedef __UINT64_TYPE__ uint64_t;
#ifndef UINT64_MAX
#define UINT64_MAX __UINT64_MAX__
#endif

/** Second key under which `count` keeps the number of calls of a function. */
#define COUNT_KEY 1

/** Argument of an attached program. */
struct UbpfTracerCtx {
	/** Address by which the traced function is known: what bpf_get_ret_addr() gives for its name. */
	uint64_t traced_function_address;
};

/** Argument of a program that is attached to the return of a function (`bpf_attach --exit`). */
struct UbpfReturnCtx {
	/** As of UbpfTracerCtx. */
	uint64_t traced_function_address;
	/** What the function returns in its first register. */
	uint64_t result;
	/** What it was given in registers, from the first argument on. */
	uint64_t arguments[6];
	/** Nanoseconds since its entry. */
	uint64_t ns;
	/** When it was entered, on the clock of bpf_ktime_get_ns; 0 where nobody knows. */
	uint64_t entered;
};

#endif /* UBPF_CLASSIC_CONFIG_H */
