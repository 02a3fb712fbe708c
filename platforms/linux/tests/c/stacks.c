/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Known stacks, with frame pointers: `stacks_root` calls `stacks_branch`, and that `stacks_leaf`. Others call `stacks_leaf` with a frame pointer
 * that leads elsewhere, or on another stack.
 */
#define TRACED __attribute__((noipa))
#define UNTRACED __attribute__((noipa, no_instrument_function, patchable_function_entry(0)))

long stacks_leaf(long number);
long stacks_with_pointer(long number, const void *frame_pointer);
long stacks_on_stack(long number, void *top);

TRACED long stacks_leaf(long number)
{
	/* Something is on the stack. */
	volatile long twice = number * 2;

	return twice + 1;
}

TRACED long stacks_branch(long number)
{
	return stacks_leaf(number) + 1;
}

TRACED long stacks_root(long number)
{
	return stacks_branch(number) + 1;
}

TRACED long stacks_recursion(long depth)
{
	return (depth == 0 ? stacks_root(0) : stacks_recursion(depth - 1)) + 1;
}

#ifndef NO_ASSEMBLY
/* `stacks_with_pointer`: the frame pointer is whatever it is told. `stacks_on_stack`: the frame is on this stack, and the call on another. */
__asm__(".text\n"
	".globl stacks_with_pointer\n"
	".type stacks_with_pointer, @function\n"
	"stacks_with_pointer:\n"
	"	push	%rbp\n"
	"	mov	%rsi, %rbp\n"
	"	call	stacks_leaf\n"
	"	pop	%rbp\n"
	"	ret\n"
	".size stacks_with_pointer, . - stacks_with_pointer\n"
	".globl stacks_on_stack\n"
	".type stacks_on_stack, @function\n"
	"stacks_on_stack:\n"
	"	push	%rbp\n"
	"	mov	%rsp, %rbp\n"
	"	mov	%rsi, %rsp\n"
	"	call	stacks_root\n"
	"	mov	%rbp, %rsp\n"
	"	pop	%rbp\n"
	"	ret\n"
	".size stacks_on_stack, . - stacks_on_stack\n");
#endif

/* A caller with a frame of its own, whatever calls it. */
UNTRACED long stacks_begin(int which, long number, void *pointer)
{
	switch (which) {
	case 0:
		return stacks_root(number) + 1;
	case 1:
		return stacks_with_pointer(number, pointer) + 1;
	case 2:
		return stacks_on_stack(number, pointer) + 1;
	default:
		return stacks_recursion(number) + 1;
	}
}
