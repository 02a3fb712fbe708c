/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UBPF_CLASSIC_CONFIG_H
#define UBPF_CLASSIC_CONFIG_H

#include <stdint.h>

/* Second key under which `count` keeps its number. */
#define COUNT_KEY 0

/* What an attached program gets. */
struct UbpfTracerCtx {
    uint64_t traced_function_address;
};

#endif /* UBPF_CLASSIC_CONFIG_H */
