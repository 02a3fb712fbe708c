/* SPDX-License-Identifier: BSD-3-Clause */
/* Works when a line is read, at the end of calls that are known and keep no frame pointers: `spins` for `within` for `between` for `outer` for `main`. */
#include "lines.h"
#include <string.h>

__attribute__((noipa)) void spins(void)
{
	/* What a frame pointer would be is nothing. */
	__asm__ volatile("mov $-1, %%rbp; mov $200000000, %%rax; 1: dec %%rax; jnz 1b" : : : "rax", "rbp");
}

__attribute__((noipa)) long within(long number)
{
	/* Of a length that only the stack pointer knows when it runs. */
	char room[number];

	memset(room, 1, number);
	__asm__ volatile("" : : "r"(room) : "memory");
	spins();
	return room[number - 1];
}

__attribute__((noipa)) long between(long a, long b, long c)
{
	/* Registers that a function keeps are used for other things. */
	long sum = a * b;

	__asm__ volatile("" : "+r"(sum));
	sum += within(a);
	__asm__ volatile("" : "+r"(sum));
	return sum + b + c;
}

__attribute__((noipa)) long outer(long number)
{
	volatile char large[1024];

	large[number] = 1;
	return between(number, number + 1, number + 2) + large[number];
}

int main(int argc, char **argv)
{
	char line[LINE];

	if (!is_started(argc, argv))
		return 1;
	while (is_asked(line)) {
		for (int n = 0; n < 10; n++)
			outer(100);
		say("done");
	}
	return 0;
}
