# Entry of every hook. A patched site calls ubpf_hook_entry; what is passed in registers is of no interest to a
# compiler that believes a nop stands there, so every register but the flags comes back as it was.
#
# On the traced stack: the return address (88) .. saved rax, rcx, rdx, rsi, rdi, r8-r11 and rbx: 88 bytes in all.
# Everything else, vector registers included, goes to a hook area. All state is in registers, on the stack or in
# the claimed area, never in variables: threads, interrupts and CPUs pass here at the same time.

# rcx = a free area, now claimed, rdx = its control block. To `none` when there is none. Changes rax.
    .macro ubpf_claim_area none
    mov     rax, [rip + {hooks} + {FREE}]
4:  test    rax, rax
    jz      \none
    bsf     rcx, rax
    mov     rdx, rax
    btr     rdx, rcx
    lock cmpxchg [rip + {hooks} + {FREE}], rdx
    jne     4b
    mov     rdx, rcx
    imul    rdx, [rip + {hooks} + {AREA_BYTES}]
    add     rdx, [rip + {hooks} + {FIRST_CONTROL}]
    .endm

# Vector registers to and from the control block at rcx. Change rax, rdx, r8.
    .macro ubpf_save_vectors
    mov     r8, [rip + {hooks} + {FP_MODE}]
    mov     eax, [rip + {hooks} + {FP_MASK}]
    xor     edx, edx
    cmp     r8, 1
    jb      6f
    je      5f
    cmp     r8, 2
    je      52f
    xsavec64 [rcx + {FP_AREA}]
    jmp     6f
52: xsave64 [rcx + {FP_AREA}]
    jmp     6f
5:  fxsave64 [rcx + {FP_AREA}]
6:
    .endm

    .macro ubpf_restore_vectors
    mov     r8, [rip + {hooks} + {FP_MODE}]
    mov     eax, [rip + {hooks} + {FP_MASK}]
    xor     edx, edx
    cmp     r8, 1
    jb      7f
    je      72f
    xrstor64 [rcx + {FP_AREA}]
    jmp     7f
72: fxrstor64 [rcx + {FP_AREA}]
7:
    .endm

    .section .text.ubpf_hook_entry,"ax",@progbits
    .p2align 4
    .globl  ubpf_hook_entry
    .type   ubpf_hook_entry, @function
ubpf_hook_entry:
    .cfi_startproc
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
    mov     rdi, [rsp + 40]             # key of a patched site: the return address
.Lubpf_hook_rest:
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
    .cfi_rel_offset rbx, 0
    cld

    # rsi = the site with key rdi, from the hash table of attached sites
    mov     r8, [rip + {hooks} + {TABLE}]
    movabs  rax, {GOLDEN}
    imul    rax, rdi
    mov     rcx, [r8 + {TABLE_SHIFT}]
    shr     rax, cl
    mov     r9, [r8 + {TABLE_MASK}]
    mov     r11, [r8 + {TABLE_ENTRIES}]
2:  and     rax, r9
    mov     r10, rax
    shl     r10, 4
    mov     rdx, [r11 + r10]
    cmp     rdx, rdi
    je      3f
    test    rdx, rdx
    jz      9f                          # detached meanwhile, or never attached
    inc     rax
    jmp     2b
3:  mov     rsi, [r11 + r10 + 8]

    # recursion: a hook's own stack lies in the pool
    mov     rax, rsp
    sub     rax, [rip + {hooks} + {POOL_BASE}]
    cmp     rax, [rip + {hooks} + {POOL_LEN}]
    jb      8f

    # Where only programs at returns are, the call is remembered here: no area is needed.
    cmp     qword ptr [rsi + {SITE_FLAGS}], {RETURNS}
    je      30f

    # rcx = claimed area, rdx = its control block
35: ubpf_claim_area 8f

    # over to the area's stack, which ends below the control block; rbx = the traced stack
    mov     rbx, rsp
    .cfi_def_cfa_register rbx
    mov     rsp, rdx
    push    rcx
    push    rdx
    mov     rcx, rdx                    # control block
    ubpf_save_vectors
    # enter(key = rdi, site = rsi, frame = rdx, control = rcx)
    mov     rdx, rbx
    call    {enter}

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

    # no area or recursion: count a miss, touching no vector register
8:  lock inc qword ptr [rsi + {SITE_MISSES}]
    jmp     9f

    # As frames::take does it, where nothing is in the way: no frame of this slot yet, and a free place in its bucket. r8 = the slot, r9 = what
    # stands there, r11 = the thread, r10 = the bucket
30: lea     r8, [rsp + 88]
    mov     r9, [r8]
    lea     rax, [rip + ubpf_return_pad]
    cmp     r9, rax
    je      35b
    mov     r11, [rip + {hooks} + {THREAD_AT}]
    mov     rcx, [rip + {hooks} + {THREAD_KIND}]
    cmp     rcx, 1
    jb      32f
    je      31f
    mov     r11, [r11]
    test    r11, r11
    jz      35b
    jmp     32f
31: mov     r11, fs:[r11]
    test    r11, r11
    jz      35b
32: movabs  r10, {GOLDEN}
    imul    r10, r8
    mov     rcx, [rip + {hooks} + {FRAMES_SHIFT}]
    shr     r10, cl
    imul    r10, r10, {BUCKET_BYTES}
    add     r10, [rip + {hooks} + {FRAMES}]
    cmp     qword ptr [r10 + {BUCKET_ELSEWHERE}], 0
    jne     35b
    test    r8, 7
    jnz     35b
    xor     edx, edx
    .irp    at, 48, 40, 32, 24, 16, 8, 0
    mov     rax, [r10 + \at]
    lea     rcx, [r10 + \at]
    test    rax, rax
    cmovz   rdx, rcx
    and     rax, -8
    cmp     rax, r8
    je      35b
    .endr
    test    rdx, rdx
    jz      35b
    xor     eax, eax
    lea     rcx, [r8 + {BUSY}]
    lock cmpxchg [rdx], rcx
    jne     35b
    mov     rcx, rdx
    sub     rcx, r10
    shl     rcx, 4
    lea     rcx, [rcx + r10 + {BUCKET_FRAMES}]
    mov     [rcx + {HOME}], r9
    mov     [rcx + {FRAME_SITE}], rsi
    mov     [rcx + {FRAME_THREAD}], r11
    mov     rax, [rip + {hooks} + {STARTED}]
    mov     [rcx + {BOUND}], rax
    xor     eax, eax
    mov     [rcx + {BELOW}], rax
    mov     [rcx + {ELSEWHERE}], rax
    mov     [rcx + {DEPTH}], rax
    mov     rax, [rsp + 40]
    mov     [rcx + {ARGUMENTS}], rax
    mov     rax, [rsp + 48]
    mov     [rcx + {ARGUMENTS} + 8], rax
    mov     rax, [rsp + 56]
    mov     [rcx + {ARGUMENTS} + 16], rax
    mov     rax, [rsp + 64]
    mov     [rcx + {ARGUMENTS} + 24], rax
    mov     rax, [rsp + 32]
    mov     [rcx + {ARGUMENTS} + 32], rax
    mov     rax, [rsp + 24]
    mov     [rcx + {ARGUMENTS} + 40], rax
    # The frame is complete: now the slot leads to the pad, and then others may look at it.
    lea     rax, [rip + ubpf_return_pad]
    mov     [r8], rax
    mov     [rdx], r8

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
    ret
    .cfi_endproc
    .size   ubpf_hook_entry, . - ubpf_hook_entry

# void ubpf_instrument_entry(void *function, void *call_site): what __cyg_profile_func_enter leads to. A plain call: the key
# is the first argument, and with nothing attached it returns at once.
    .section .text.ubpf_instrument_entry,"ax",@progbits
    .p2align 4
    .globl  ubpf_instrument_entry
    .type   ubpf_instrument_entry, @function
ubpf_instrument_entry:
    .cfi_startproc
    cmp     qword ptr [rip + {hooks} + {INSTRUMENTED}], 0
    jne     2f
    ret
2:  push    rax
    .cfi_adjust_cfa_offset 8
    push    rcx
    .cfi_adjust_cfa_offset 8
    push    rdx
    .cfi_adjust_cfa_offset 8
    push    rsi
    .cfi_adjust_cfa_offset 8
    push    rdi
    .cfi_adjust_cfa_offset 8
    jmp     .Lubpf_hook_rest
    .cfi_endproc
    .size   ubpf_instrument_entry, . - ubpf_instrument_entry

# Where a program that is called directly goes for a helper: as machine code calls helpers, r1 to r5 in rdi, rsi, rdx, rcx, r8; on the stack the
# return address and the helper's number; the block in r9, the end of the frame in rbp, and in rax what is given when no area is free, which
# is counted. Gives r0 in rax; changes r10 and r11 besides.
    .section .text.ubpf_hook_helper,"ax",@progbits
    .globl  ubpf_hook_helper
    .type   ubpf_hook_helper, @function
ubpf_hook_helper:
    .cfi_startproc
    push    rax
    .cfi_adjust_cfa_offset 8
    push    r8
    .cfi_adjust_cfa_offset 8
    push    rcx
    .cfi_adjust_cfa_offset 8
    push    rdx
    .cfi_adjust_cfa_offset 8
    push    rsi
    .cfi_adjust_cfa_offset 8
    push    rdi
    .cfi_adjust_cfa_offset 8
    push    r9
    .cfi_adjust_cfa_offset 8
    push    rbx
    .cfi_adjust_cfa_offset 8
    ubpf_claim_area 8f
    mov     rbx, rsp
    .cfi_def_cfa_register rbx
    mov     rsp, rdx
    push    rcx
    push    rdx
    mov     rcx, rdx
    ubpf_save_vectors
    # helper(block, number, args, frame_end)
    mov     rdi, [rbx + 8]
    mov     rsi, [rbx + 72]
    lea     rdx, [rbx + 16]
    mov     rcx, rbp
    call    {helper}
    mov     r10, rax
    pop     rcx                         # control block
    ubpf_restore_vectors
    inc     qword ptr [rcx + {GENERATION}]
    pop     rcx                         # area number
    mov     rsp, rbx
    .cfi_def_cfa_register rsp
    mov     eax, 1
    shl     rax, cl
    lock or [rip + {hooks} + {FREE}], rax
    mov     [rsp + 56], r10
    jmp     9f
8:  lock inc qword ptr [rip + {hooks} + {HELPERS_MISSED}]
9:  pop     rbx
    .cfi_adjust_cfa_offset -8
    pop     r9
    .cfi_adjust_cfa_offset -8
    pop     rdi
    .cfi_adjust_cfa_offset -8
    pop     rsi
    .cfi_adjust_cfa_offset -8
    pop     rdx
    .cfi_adjust_cfa_offset -8
    pop     rcx
    .cfi_adjust_cfa_offset -8
    pop     r8
    .cfi_adjust_cfa_offset -8
    pop     rax
    .cfi_adjust_cfa_offset -8
    ret     8
    .cfi_endproc
    .size   ubpf_hook_helper, . - ubpf_hook_helper
