/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A thread that is always ready. The command `gap` of the shell says how long it waited for its turn at most since it was asked last,
 * in counts of the CPU: with QEMU's -icount shift=0 these are instructions.
 */
#include <stdio.h>
#include <string.h>
#include <uk/sched.h>
#include <ushell_rs.h>

/* Turns between two calls of the function that is traced. */
#define TURNS 1000

static unsigned long longest;

static unsigned long counter(void)
{
	unsigned int low, high;

	__asm__ __volatile__("rdtsc" : "=a"(low), "=d"(high));
	return (unsigned long)high << 32 | low;
}

__attribute__((noinline)) void myfun(void)
{
	__asm__ __volatile__("" : : : "memory");
}

static int gap(void *context, int argc, const char *const *argv, ushell_output *out)
{
	char text[32];

	(void)context;
	(void)argc;
	(void)argv;
	snprintf(text, sizeof(text), "%lu\n", longest);
	longest = 0;
	ushell_write(out, text, strlen(text));
	return 0;
}

int main(void)
{
	unsigned long turn;

	if (ushell_register_command("gap", "", "longest wait of the application since it was asked", gap, NULL) != USHELL_OK)
		return 1;
	printf("gaps: ready\n");
	for (turn = 0;; turn++) {
		unsigned long begin = counter(), waited;

		uk_sched_yield();
		waited = counter() - begin;
		if (waited > longest)
			longest = waited;
		if (turn % TURNS == 0)
			myfun();
	}
}
