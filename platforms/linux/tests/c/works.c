/* SPDX-License-Identifier: BSD-3-Clause */
/* Works when a line is read, in a way that is known: `works_much` nine times as long as `works_little`, both for `works`, in two threads at a time. */
#include "lines.h"

static inline __attribute__((always_inline)) void counts_down(unsigned long left)
{
	/* A function that calls nothing has a frame only when it asks for it. */
	__asm__ volatile("" : : "r"(__builtin_frame_address(0)));
	/* Stays in the function that it stands in. */
	__asm__ volatile("1: dec %0; jnz 1b" : "+r"(left));
}

__attribute__((noipa)) void works_much(void)
{
	counts_down(90000000);
}

__attribute__((noipa)) void works_little(void)
{
	counts_down(10000000);
}

__attribute__((noipa)) void *works(void *unused)
{
	for (int round = 0; round < 10; round++) {
		works_much();
		works_little();
	}
	return unused;
}

int main(int argc, char **argv)
{
	char line[LINE];

	if (!is_started(argc, argv))
		return 1;
	while (is_asked(line)) {
		in_two_threads(works, NULL, works, NULL);
		say("done");
	}
	return 0;
}
