/* SPDX-License-Identifier: BSD-3-Clause */
#include "platform.h"

__attribute__((noinline, noclone)) int traced(int number)
{
	__asm__ volatile("" ::: "memory");
	return number + 1;
}
