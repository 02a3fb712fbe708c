# What helpers of rings do inline where a program runs directly: the kind's layout (maps/ring.rs), whose address is in r11 for a reservation. As
# helpers are called (number pushed); they change rax, r10, r11. Nobody but the record itself knows how long it is: its first word has the
# length from the beginning, and says that it is there only when it was submitted or discarded. The verifier has shown that each one is.

    .section .text.ubpf_jit,"ax",@progbits

# bpf_ringbuf_reserve.
    .p2align 4
    .globl  ubpf_jit_ring_reserve
    .hidden ubpf_jit_ring_reserve
ubpf_jit_ring_reserve:
    .irp    register, rbx, rcx, rdx, rdi
    push    \register
    .endr
    test    rdx, rdx                    # flags
    jnz     4f
    mov     rdx, [r11 + {RECORDS_BYTES}]
    lea     rax, [rsi - 1]
    lea     rcx, [rdx - 8]
    cmp     rax, rcx
    jae     4f
    lea     rdi, [rsi + 15]
    and     rdi, -8                     # with its first word
    mov     rax, [r11 + {RECORDS_HEAD}]
    # rax = the head, rcx = its place, rbx = what is left behind it
2:  lea     rcx, [rdx - 1]
    and     rcx, rax
    mov     rbx, rdx
    sub     rbx, rcx
    cmp     rdi, rbx
    ja      5f
    mov     rbx, rdi
5:  mov     r10, rax
    sub     r10, [r11 + {RECORDS_TAIL}]
    cmp     r10, rdx
    ja      9f                          # what was behind this head has been read meanwhile
    add     r10, rbx
    cmp     r10, rdx
    ja      3f
    lea     r10, [rax + rbx]
    lock cmpxchg [r11 + {RECORDS_HEAD}], r10
    jne     2b
    add     rcx, [r11 + {RECORDS_WORDS}]
    cmp     rbx, rdi
    jne     6f
    mov     [rcx], rsi
    lea     rax, [rcx + 8]
7:  .irp    register, rdi, rdx, rcx, rbx
    pop     \register
    .endr
    ret     8
    # What is left before the end is passed over.
6:  sub     rbx, 8
    movabs  rax, {RECORDS_THERE} | {RECORDS_SKIPPED}
    or      rax, rbx
    mov     [rcx], rax
9:  mov     rax, [r11 + {RECORDS_HEAD}]
    jmp     2b
3:  lock inc qword ptr [r11 + {RECORDS_LOST}]
4:  xor     eax, eax
    jmp     7b

# bpf_ringbuf_submit and bpf_ringbuf_discard: the record in rdi.
    .p2align 4
    .globl  ubpf_jit_ring_submit
    .hidden ubpf_jit_ring_submit
ubpf_jit_ring_submit:
    movabs  rax, {RECORDS_THERE}
8:  or      rax, [rdi - 8]
    mov     [rdi - 8], rax
    xor     eax, eax
    ret     8

    .globl  ubpf_jit_ring_discard
    .hidden ubpf_jit_ring_discard
ubpf_jit_ring_discard:
    movabs  rax, {RECORDS_THERE} | {RECORDS_SKIPPED}
    jmp     8b
