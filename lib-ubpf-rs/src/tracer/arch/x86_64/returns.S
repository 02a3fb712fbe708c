# The pad: where a call comes back whose return programs wait for. The function's `ret` leads here, with the stack as the caller is to have it;
# below it lies the slot, in which our address stood. The frame of the slot says where the caller is (frames.rs). Every register comes back as
# the function has left it.
#
# On the traced stack: the slot, then the ten registers of a hook's entry, where the function had its own things: 88 bytes.
#
# An unwinder that finds our address in a stack finds the caller as the code does: the expression is for the place of the return address, from
# the CFA. rip, for it, is the pad; before the pad stands how far the data of the hooks is. It looks up the
# address less one: that is the nop.

    .section .text.ubpf_return_pad,"ax",@progbits
    .p2align 4
.Lubpf_return_base:
    .long   {hooks} - .Lubpf_return_base
    .byte   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    .type   ubpf_return_pad, @function
    .cfi_startproc
    .cfi_remember_state
    # An unwinder knows frames by their CFA: this one's is another than that of the function that returned, and rsp is what lies below it.
    .cfi_def_cfa rsp, 1
    .cfi_escape 0x16, 7, 2, 0x31, 0x1c
    # DW_CFA_expression for rip, and its length
    .cfi_escape 0x10, 16, 107
    # slot: CFA - 9; twice, since libgcc does not pick what lies at the bottom
    .cfi_escape 0x39, 0x1c, 0x12
    # slot, data of the hooks: what stands 16 bytes before the pad, and its address
    .cfi_escape 0x80, 0x70, 0x12, 0x94, 0x04, 0x08, 0x20, 0x24, 0x08, 0x20, 0x26, 0x22
    # slot, data, key: frames + (slot * GOLDEN >> shift) * BUCKET_BYTES
    .cfi_escape 0x14, 0x0e, {SPREAD} & 255, {SPREAD} >> 8 & 255, {SPREAD} >> 16 & 255, {SPREAD} >> 24 & 255
    .cfi_escape {SPREAD} >> 32 & 255, {SPREAD} >> 40 & 255, {SPREAD} >> 48 & 255, {SPREAD} >> 56 & 255, 0x1e
    .cfi_escape 0x14, 0x0a, {FRAMES_SHIFT} & 255, {FRAMES_SHIFT} >> 8, 0x22, 0x06, 0x25
    .cfi_escape 0x0a, {BUCKET_BYTES} & 255, {BUCKET_BYTES} >> 8, 0x1e
    .cfi_escape 0x14, 0x0a, {FRAMES} & 255, {FRAMES} >> 8, 0x22, 0x06, 0x22
    # slot, data, key, words left: seven keys of each bucket, and a counter, which is no slot
    .cfi_escape 0x08, {REACH} * 8
    # again: to found if it is a key of the slot
    .cfi_escape 0x14, 0x06, 0x09, 0xf8, 0x1a, 0x15, 0x04, 0x29, 0x28, 0x22, 0x00
    # one word less; on if there are some; else nowhere, to the end
    .cfi_escape 0x31, 0x1c, 0x12, 0x28, 0x09, 0x00
    .cfi_escape 0x13, 0x13, 0x0a, {NOWHERE} & 255, {NOWHERE} >> 8, 0x22, 0x2f, 0x23, 0x00
    # on: the next word, again; after eight of them that of the next bucket, again
    .cfi_escape 0x16, 0x38, 0x22, 0x16, 0x12, 0x37, 0x1a, 0x28, 0xdc, 0xff
    .cfi_escape 0x16, 0x0a, ({BUCKET_BYTES} - 64) & 255, ({BUCKET_BYTES} - 64) >> 8, 0x22, 0x16, 0x2f, 0xd3, 0xff
    # found: bucket + (key - bucket) * 16 + where frames are + HOME
    .cfi_escape 0x13, 0x12, 0x0b, -{BUCKET_BYTES} & 255, -{BUCKET_BYTES} >> 8 & 255, 0x1a, 0x16, 0x14, 0x1c, 0x34, 0x24
    .cfi_escape 0x22, 0x0a, ({BUCKET_FRAMES} + {HOME}) & 255, ({BUCKET_FRAMES} + {HOME}) >> 8, 0x22
    # end
    nop
    .globl  ubpf_return_pad
ubpf_return_pad:
    lea     rsp, [rsp - 8]              # the slot
    .cfi_adjust_cfa_offset 8
    push    rax
    .cfi_adjust_cfa_offset 8
    push    rcx
    .cfi_adjust_cfa_offset 8
    push    rdx
    .cfi_adjust_cfa_offset 8
    push    rsi
    .cfi_adjust_cfa_offset 8
    push    rdi
    .cfi_adjust_cfa_offset 8
    push    r8
    .cfi_adjust_cfa_offset 8
    push    r9
    .cfi_adjust_cfa_offset 8
    push    r10
    .cfi_adjust_cfa_offset 8
    push    r11
    .cfi_adjust_cfa_offset 8
    push    rbx
    .cfi_adjust_cfa_offset 8
    cld

    # r10 = the key of the slot r8, in the bucket rax or one of those behind it
    lea     r8, [rsp + 80]
    movabs  rax, {GOLDEN}
    imul    rax, r8
    mov     rcx, [rip + {hooks} + {FRAMES_SHIFT}]
    shr     rax, cl
    imul    rax, rax, {BUCKET_BYTES}
    add     rax, [rip + {hooks} + {FRAMES}]
    mov     ecx, {REACH}
2:  mov     r10, rax
    mov     r9d, 7
4:  mov     rdx, [r10]
    and     rdx, -8
    cmp     rdx, r8
    je      3f
    add     r10, 8
    dec     r9d
    jnz     4b
    add     rax, {BUCKET_BYTES}
    dec     ecx
    jnz     2b
    ud2                                 # a copy of a stack: nobody knows where it returns to

    # rdi = its frame
3:  sub     r10, rax
    lea     rdx, [r8 + {BUSY}]
    mov     [rax + r10], rdx
    shl     r10, 4
    lea     rdi, [rax + r10 + {BUCKET_FRAMES}]
    mov     rdx, [rdi + {HOME}]
    mov     [r8], rdx
    .cfi_restore_state
    .cfi_def_cfa rsp, 88
    .cfi_rel_offset rbx, 0

    ubpf_claim_area 8f
    mov     rbx, rsp
    .cfi_def_cfa_register rbx
    mov     rsp, rdx
    push    rcx
    push    rdx
    mov     rcx, rdx                    # control block
    ubpf_save_vectors
    # leave(frame = rdi, registers = rsi, control = rdx)
    mov     rsi, rbx
    mov     rdx, rcx
    call    {leave}
    pop     rcx                         # control block
    ubpf_restore_vectors
    inc     qword ptr [rcx + {GENERATION}]
    pop     rcx                         # area number
    mov     rsp, rbx
    .cfi_def_cfa_register rsp
    mov     eax, 1
    shl     rax, cl
    lock or [rip + {hooks} + {FREE}], rax
    jmp     9f

    # no area: a miss of each frame of the slot, and its place is given back
8:  mov     rax, [rdi + {FRAME_SITE}]
    lock inc qword ptr [rax + {RETURN_MISSES}]
    mov     rax, rdi
    and     rax, -{BUCKET_BYTES}
    mov     rcx, rdi
    sub     rcx, rax
    sub     rcx, {BUCKET_FRAMES}
    shr     rcx, 4
    mov     r9, [rdi + {ELSEWHERE}]
    mov     rdi, [rdi + {BELOW}]
    mov     qword ptr [rax + rcx], 0
    test    r9, r9
    jz      7f
    lock dec qword ptr [r9]
7:  test    rdi, rdi
    jnz     8b

9:  pop     rbx
    .cfi_adjust_cfa_offset -8
    pop     r11
    .cfi_adjust_cfa_offset -8
    pop     r10
    .cfi_adjust_cfa_offset -8
    pop     r9
    .cfi_adjust_cfa_offset -8
    pop     r8
    .cfi_adjust_cfa_offset -8
    pop     rdi
    .cfi_adjust_cfa_offset -8
    pop     rsi
    .cfi_adjust_cfa_offset -8
    pop     rdx
    .cfi_adjust_cfa_offset -8
    pop     rcx
    .cfi_adjust_cfa_offset -8
    pop     rax
    .cfi_adjust_cfa_offset -8
    # Not by `ret`: the CPU remembers where outer functions return to, and the function's own took this one's place.
    lea     rsp, [rsp + 8]
    .cfi_adjust_cfa_offset -8
    jmp     qword ptr [rsp - 8]
    .cfi_endproc
    .size   ubpf_return_pad, . - ubpf_return_pad
