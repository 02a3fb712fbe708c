# A function of the engine's own with an entry stub, to measure what programs cost at a call of a function, and loops that
# call it: rdi = number of calls, not 0.

    .section .text.ubpf_subject,"ax",@progbits
    .p2align 4
    .globl  ubpf_subject
    .type   ubpf_subject, @function
ubpf_subject:
    .byte   0x0f, 0x1f, 0x44, 0x00, 0x00
    ret
    .size   ubpf_subject, . - ubpf_subject

    .p2align 4
    .globl  ubpf_call_subject
    .type   ubpf_call_subject, @function
ubpf_call_subject:
    .cfi_startproc
    push    rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbx, 0
    mov     rbx, rdi
2:  call    ubpf_subject
    dec     rbx
    jnz     2b
    pop     rbx
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size   ubpf_call_subject, . - ubpf_call_subject

# The same by the call that -finstrument-functions makes.
    .p2align 4
    .globl  ubpf_call_instrumented_subject
    .type   ubpf_call_instrumented_subject, @function
ubpf_call_instrumented_subject:
    .cfi_startproc
    push    rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbx, 0
    mov     rbx, rdi
2:  lea     rdi, [rip + ubpf_subject]
    xor     esi, esi
    call    ubpf_instrument_entry
    dec     rbx
    jnz     2b
    pop     rbx
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size   ubpf_call_instrumented_subject, . - ubpf_call_instrumented_subject
