/* SPDX-License-Identifier: BSD-3-Clause */
#define __unused __attribute__((unused))
#define __used __attribute__((used))
#define __weak __attribute__((weak))
#define __align(n) __attribute__((aligned(n)))
