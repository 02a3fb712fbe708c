/* SPDX-License-Identifier: BSD-3-Clause */
/* Functions to be traced, and the loops that call them. Every function here but the loops has an entry stub. */
#include <stdint.h>

/* One function for each number of programs that is attached, so that no case disturbs another. */
__attribute__((noinline)) void subject(void)
{
	__asm__ volatile("");
}

__attribute__((noinline, patchable_function_entry(0))) void plain(void)
{
	__asm__ volatile("");
}

/* What a person writes who needs no engine: nine registers saved, an empty function called, nine registers restored. */
void empty_function(void);
void hand_written(void);
__asm__(".text\n"
	".p2align 4\n"
	".type empty_function, @function\n"
	"empty_function: ret\n"
	".size empty_function, . - empty_function\n"
	".p2align 4\n"
	".type hand_trampoline, @function\n"
	"hand_trampoline:\n"
	"	push %rax\n	push %rcx\n	push %rdx\n	push %rsi\n	push %rdi\n"
	"	push %r8\n	push %r9\n	push %r10\n	push %r11\n"
	"	call empty_function\n"
	"	pop %r11\n	pop %r10\n	pop %r9\n	pop %r8\n"
	"	pop %rdi\n	pop %rsi\n	pop %rdx\n	pop %rcx\n	pop %rax\n"
	"	ret\n"
	".size hand_trampoline, . - hand_trampoline\n"
	".p2align 4\n"
	".globl hand_written\n"
	".type hand_written, @function\n"
	"hand_written:\n"
	"	call hand_trampoline\n"
	"	ret\n"
	".size hand_written, . - hand_written\n");

#define LOOP(name, function)                                                                                                   \
	__attribute__((noinline, patchable_function_entry(0))) void name(uint64_t calls)                                       \
	{                                                                                                                      \
		for (; calls; calls--)                                                                                         \
			function();                                                                                            \
	}

LOOP(call_plain, plain)
LOOP(call_subject, subject)
LOOP(call_hand_written, hand_written)
