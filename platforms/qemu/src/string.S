# The memory functions that the compiler calls; a Rust loop could be compiled into a call to itself. AT&T syntax.

.section .text.memcpy, "ax"
.global memcpy
.type memcpy, @function
memcpy:
    movq %rdi, %rax
copy_up:
    movq %rdx, %rcx
    shrq $3, %rcx
    rep movsq
    movl %edx, %ecx
    andl $7, %ecx
    rep movsb
    ret
.size memcpy, . - memcpy

.global memmove
.type memmove, @function
memmove:
    movq %rdi, %rax
    movq %rdi, %rcx
    subq %rsi, %rcx
    cmpq %rdx, %rcx             # unsigned: also true when dst lies below src
    jae copy_up
    leaq -1(%rdi, %rdx), %rdi
    leaq -1(%rsi, %rdx), %rsi
    movq %rdx, %rcx
    std
    rep movsb
    cld
    ret
.size memmove, . - memmove

.section .text.memset, "ax"
.global memset
.type memset, @function
memset:
    movq %rdi, %r8
    movzbl %sil, %eax
    movabsq $0x0101010101010101, %rcx
    imulq %rcx, %rax
    movq %rdx, %rcx
    shrq $3, %rcx
    rep stosq
    movl %edx, %ecx
    andl $7, %ecx
    rep stosb
    movq %r8, %rax
    ret
.size memset, . - memset

.section .text.memcmp, "ax"
.global memcmp, bcmp
.type memcmp, @function
.type bcmp, @function
memcmp:
bcmp:
    xorl %eax, %eax
    movq %rdx, %rcx
    testq %rcx, %rcx
    jz 1f
    repe cmpsb
    je 1f
    movzbl -1(%rdi), %eax
    movzbl -1(%rsi), %ecx
    subl %ecx, %eax
1:  ret
.size memcmp, . - memcmp

.section .text.strlen, "ax"
.global strlen
.type strlen, @function
strlen:
    xorl %eax, %eax
    jmp 2f
1:  incq %rax
2:  cmpb $0, (%rdi, %rax)
    jne 1b
    ret
.size strlen, . - strlen
