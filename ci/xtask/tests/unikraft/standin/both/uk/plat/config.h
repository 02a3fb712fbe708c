/* SPDX-License-Identifier: BSD-3-Clause */
#define CPU_EXCEPT_STACK_SIZE 4096
