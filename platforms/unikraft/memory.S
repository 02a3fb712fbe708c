/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memcpy, memmove, memset, memcmp and bcmp for our own code, word by word. Unikraft's nolibc goes byte by byte, at several instructions
 * each: with it a command that copies much would keep the application waiting. The partial link finds these first, and keeps them to the
 * library. The names have no type, so that they are not taken for functions of the image.
 */
#define BEGIN(name) .globl name; .hidden name; .balign 16; name:
/* From so many bytes on a string instruction is faster than a loop. */
#define MANY 128

	.text

BEGIN(memmove)
	movq %rdi, %rax
	subq %rsi, %rax
	/* Only where the target begins inside of the source, bytes would be overwritten before they are read. */
	cmpq %rdx, %rax
	jae memcpy
	movq %rdi, %rax
1:	cmpq $8, %rdx
	jb 3f
	movq -8(%rsi,%rdx), %rcx
	movq %rcx, -8(%rdi,%rdx)
	subq $8, %rdx
	jmp 1b
2:	movb -1(%rsi,%rdx), %cl
	movb %cl, -1(%rdi,%rdx)
	decq %rdx
3:	testq %rdx, %rdx
	jnz 2b
	ret

BEGIN(memcpy)
	movq %rdi, %rax
	cmpq $MANY, %rdx
	jb 1f
	movq %rdx, %rcx
	shrq $3, %rcx
	andl $7, %edx
	rep movsq
1:	cmpq $8, %rdx
	jb 3f
	movq (%rsi), %rcx
	movq %rcx, (%rdi)
	addq $8, %rsi
	addq $8, %rdi
	subq $8, %rdx
	jmp 1b
2:	movb (%rsi), %cl
	movb %cl, (%rdi)
	incq %rsi
	incq %rdi
	decq %rdx
3:	testq %rdx, %rdx
	jnz 2b
	ret

BEGIN(memset)
	movq %rdi, %r8
	movzbl %sil, %esi
	movabsq $0x0101010101010101, %rax
	imulq %rsi, %rax
	cmpq $MANY, %rdx
	jb 1f
	movq %rdx, %rcx
	shrq $3, %rcx
	andl $7, %edx
	rep stosq
1:	cmpq $8, %rdx
	jb 3f
	movq %rax, (%rdi)
	addq $8, %rdi
	subq $8, %rdx
	jmp 1b
2:	movb %al, (%rdi)
	incq %rdi
	decq %rdx
3:	testq %rdx, %rdx
	jnz 2b
	movq %r8, %rax
	ret

BEGIN(bcmp)
BEGIN(memcmp)
1:	cmpq $8, %rdx
	jb 3f
	movq (%rdi), %rax
	cmpq (%rsi), %rax
	jne 3f
	addq $8, %rdi
	addq $8, %rsi
	subq $8, %rdx
	jmp 1b
	/* Within this word, or none is left. */
2:	movzbl (%rdi), %eax
	movzbl (%rsi), %ecx
	subl %ecx, %eax
	jnz 4f
	incq %rdi
	incq %rsi
	decq %rdx
3:	testq %rdx, %rdx
	jnz 2b
	xorl %eax, %eax
4:	ret

	.section .note.GNU-stack,"",@progbits
