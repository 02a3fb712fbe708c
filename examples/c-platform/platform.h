/* SPDX-License-Identifier: BSD-3-Clause */
#include <ubpf_rs.h>

/* What the engine gets from this program, with or without memory for machine code. */
ubpf_platform platform(int machine_code);
