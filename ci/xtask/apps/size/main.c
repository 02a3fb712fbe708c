/* SPDX-License-Identifier: BSD-3-Clause */
/* Says that it has begun, and how much memory is free by Unikraft's own count, once everything that is there beside it has come to rest. */
#include <stdio.h>
#include <unistd.h>
#include <uk/alloc.h>

int main(void)
{
	puts("begun");
	sleep(3);
	printf("memory free: %lu bytes\n", (unsigned long)uk_alloc_availmem_total());
	for (;;)
		sleep(1);
}
