# What helpers of the two-key map do inline: the kind's layout (maps/two_key.rs), found through the context as in shared.S.

    .section .text.ubpf_jit,"ax",@progbits

# The two-key map: get (put = 0), put (1), add (2). As helpers are called (number pushed), key1 in rdi, key2 in rsi, value in rdx. Changes rax, r10, r11. What is
# not decided within a few slots, or is being changed by somebody, goes the slow way with the registers and the stack as they
# came.
    .macro ubpf_jit_map name, put
    .p2align 4
    .globl  \name
    .hidden \name
\name:
    push    rbx
    push    rcx
    push    rdx
    mov     rax, rsi
    rol     rax, 32
    xor     rax, rdi
    movabs  r11, {MAP_FACTOR}
    imul    rax, r11
    mov     r11, rax
    shr     r11, 32
    xor     rax, r11
    mov     r11, [r9 + {MAP} + 8]
    mov     r10, [r9 + {MAP}]
    mov     ebx, 8
2:  and     rax, r11
    mov     rcx, rax
    shl     rcx, 5
    add     rcx, r10
    mov     rdx, [rcx]                  # state
    test    dl, {MAP_BUSY}
    jz      6f                          # empty: the key is not there
    test    dl, {MAP_FULL}
    jz      5f                          # deleted
    .if \put < 2
    test    dl, {MAP_BUSY} - {MAP_FULL}
    jnz     7f                          # being changed: who adds comes before that
    .endif
    cmp     rdi, [rcx + 8]
    jne     4f
    cmp     rsi, [rcx + 16]
    jne     4f
    .if \put == 2
    mov     r11, [rsp]
    lock add [rcx + 24], r11
    xor     eax, eax
    .elseif \put
    mov     rax, rdx
    mov     r11, rdx
    or      r11, {MAP_BUSY}
    lock cmpxchg [rcx], r11
    jne     7f
    mov     r11, [rsp]
    mov     [rcx + 24], r11
    add     rax, {MAP_VERSION}
    mov     [rcx], rax
    xor     eax, eax
    .else
    mov     rax, [rcx + 24]
    cmp     rdx, [rcx]
    jne     7f
    .endif
3:  pop     rdx
    pop     rcx
    pop     rbx
    ret     8
4:  cmp     rdx, [rcx]
    jne     7f
5:  inc     rax
    dec     ebx
    jnz     2b
    jmp     7f
6:
    .ifeq \put
    mov     rax, -1
    jmp     3b
    .endif
7:  pop     rdx
    pop     rcx
    pop     rbx
    # What is given where the helper cannot be called.
    .if \put
    xor     eax, eax
    .else
    mov     rax, -1
    .endif
    jmp     qword ptr [r9 + {HELPER_KEEP}]
    .endm

    ubpf_jit_map ubpf_jit_map_get, 0
    ubpf_jit_map ubpf_jit_map_put, 1
    ubpf_jit_map ubpf_jit_map_add, 2

    .globl  ubpf_jit_end
    .hidden ubpf_jit_end
ubpf_jit_end:
