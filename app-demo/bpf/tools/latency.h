/* SPDX-License-Identifier: BSD-3-Clause */
/* How long calls took. */
#ifndef TOOLS_LATENCY_H
#define TOOLS_LATENCY_H

#include <bpf/bpf_helpers.h>
#include <ubpf/classic/config.h>
#include "powers.h"

#define POWERS 64

/** Calls that have returned: how many, their time together, and how many took 2^N nanoseconds or more. */
struct latency {
	__u64 calls, ns, slots[POWERS];
};

#endif /* TOOLS_LATENCY_H */
