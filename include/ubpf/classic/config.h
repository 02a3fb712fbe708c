/* SPDX-License-Identifier: BSD-3-Clause */
/* What programs and applications of the classic interface agree on. */
#ifndef UBPF_CLASSIC_CONFIG_H
#define UBPF_CLASSIC_CONFIG_H

#include <stdint.h>

/** Second key under which `count` keeps the number of calls of a function. */
#define COUNT_KEY 1

/** Argument of an attached program. */
struct UbpfTracerCtx {
	/** Address by which the traced function is known: what bpf_get_ret_addr() gives for its name. */
	uint64_t traced_function_address;
};

#endif /* UBPF_CLASSIC_CONFIG_H */
