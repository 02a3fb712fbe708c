# Entry of all interrupts and exceptions: saves everything, calls trap(frame), restores. AT&T syntax.
# Each stub takes 16 bytes, so that vector v enters at trap_stubs + 16 v.

.section .text.trap, "ax"
.balign 16
.global trap_stubs
trap_stubs:
.set vector, 0
.rept 51
    .balign 16
    .if (vector != 8) && ((vector < 10) || (vector > 14)) && (vector != 17) && (vector != 21) && (vector != 29) && (vector != 30)
    pushq $0                    # the CPU pushes an error code for the others
    .endif
    pushq $vector
    jmp trap_common
    .set vector, vector + 1
.endr

.type trap_common, @function
trap_common:
    pushq %rax
    pushq %rbx
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %rbp
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    movq %rsp, %rdi
    subq $512, %rsp             # still 16-aligned: 5 words by the CPU, 2 by the stub, 15 here
    fxsave64 (%rsp)
    call trap
    fxrstor64 (%rsp)
    addq $512, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rbp
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rbx
    popq %rax
    addq $16, %rsp
    iretq
.size trap_common, . - trap_common

# probe_pair(src, dst) -> 1, or 0 where the two words at src cannot be read. A fault inside continues at pair_fault.
.section .text.probe_pair, "ax"
.global probe_pair, pair_begin, pair_fault
.type probe_pair, @function
probe_pair:
    xorl %eax, %eax
pair_begin:
    movq (%rdi), %rcx
    movq 8(%rdi), %rdx
    movq %rcx, (%rsi)
    movq %rdx, 8(%rsi)
    incl %eax
pair_fault:
    ret
.size probe_pair, . - probe_pair

# probe_copy(dst, src, len) -> bytes not copied. A fault inside continues at probe_fault, RCX saying what is left.
.section .text.probe, "ax"
.global probe_copy, probe_begin, probe_fault
.type probe_copy, @function
probe_copy:
    movq %rdx, %rcx
probe_begin:
    rep movsb
probe_fault:
    movq %rcx, %rax
    ret
.size probe_copy, . - probe_copy
