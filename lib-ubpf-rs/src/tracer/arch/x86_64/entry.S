# Entry of every hook. A patched site calls ubpf_hook_entry; what is passed in registers is of no interest to a
# compiler that believes a nop stands there, so every register but the flags comes back as it was.
#
# On the traced stack: the return address (88) .. saved rax, rcx, rdx, rsi, rdi, r8-r11 and rbx: 88 bytes in all.
# Everything else, vector registers included, goes to a hook area. All state is in registers, on the stack or in
# the claimed area, never in variables: threads, interrupts and CPUs pass here at the same time.

# Registers to the stack and back, in this order, and what an unwinder has to know of it.
    .macro ubpf_push registers:vararg
    .irp    register, \registers
    push    \register
    .cfi_adjust_cfa_offset 8
    .endr
    .endm

    .macro ubpf_pop registers:vararg
    .irp    register, \registers
    pop     \register
    .cfi_adjust_cfa_offset -8
    .endr
    .endm

# To `none` where a hook has to stay on the stack that it is called on (StackTest in platform/trusted.rs). Changes rax, rcx, rdx, r11.
    .macro ubpf_may_leave none
    mov     rax, [rip + {hooks} + {STACK_TEST}]
    test    rax, rax
    jz      41f
    call    rax
    test    eax, eax
    jnz     \none
41:
    .endm

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

# Over to the stack of the area rcx, which ends below its control block rdx; rbx = the traced stack, rcx = the control block. Vector registers are
# kept there. Change rax, rdx, r8.
    .macro ubpf_enter_area
    mov     rbx, rsp
    .cfi_def_cfa_register rbx
    mov     rsp, rdx
    push    rcx
    push    rdx
    mov     rcx, rdx
    ubpf_save_vectors
    .endm

# Back to the traced stack; the area is free. Change rax, rcx, rdx, r8.
    .macro ubpf_leave_area
    pop     rcx                         # control block
    ubpf_restore_vectors
    inc     qword ptr [rcx + {GENERATION}]
    pop     rcx                         # area number
    mov     rsp, rbx
    .cfi_def_cfa_register rsp
    mov     eax, 1
    shl     rax, cl
    lock or [rip + {hooks} + {FREE}], rax
    .endm

# rax = the time in ns; changes rdx.
    .macro ubpf_hook_now
    rdtsc
    shl     rdx, 32
    or      rax, rdx
    sub     rax, [rip + {hooks} + {TICKS}]
    mul     qword ptr [rip + {hooks} + {TICKS} + 8]
    shrd    rax, rdx, 32
    .endm

# Makes the call come back of which the slot lies so far above the stack pointer: as frames::take does it, where nothing is in the way, that is
# no frame of this slot yet and a free place in its bucket; else to `fail`. rsi = the site; on the stack from below rdi, rsi, rdx, rcx of the
# function. Changes rcx, rdx, rsi, rdi; rax = the frame. Meanwhile rdi = the slot, rdx = the bucket, rcx = the offset of a free key in it.
    .macro ubpf_take_frame slot, fail
    lea     rdi, [rsp + \slot]
    lea     rax, [rip + ubpf_return_pad]
    cmp     [rdi], rax
    je      \fail
    test    edi, 7
    jnz     \fail
    mov     rax, [rip + {hooks} + {THREAD_AT}]
    mov     rcx, [rip + {hooks} + {THREAD_KIND}]
    cmp     rcx, 1
    jb      32f
    ja      31f
    cmp     qword ptr fs:[rax], 0
    je      \fail
    jmp     32f
31: mov     rax, [rax]
    test    rax, rax
    jz      \fail
    mov     rcx, [rip + {hooks} + {OWN_AT}]
    cmp     rax, [rcx]
    je      \fail
32: movabs  rdx, {GOLDEN}
    imul    rdx, rdi
    mov     rcx, [rip + {hooks} + {FRAMES_SHIFT}]
    shr     rdx, cl
    shl     rdx, {BUCKET_BITS}
    add     rdx, [rip + {hooks} + {FRAMES}]
    xor     ecx, ecx
    mov     rax, [rdx]
    .irp    at, 8, 16, 24, 32, 40, 48, 56
    or      rax, [rdx + \at]
    .endr
    jz      34f
    cmp     qword ptr [rdx + {BUCKET_ELSEWHERE}], 0
    jne     \fail
    mov     ecx, -1
    .irp    at, 48, 40, 32, 24, 16, 8, 0
    mov     rax, [rdx + \at]
    test    rax, rax
    jnz     33f
    mov     ecx, \at
33: and     rax, -8
    cmp     rax, rdi
    je      \fail
    .endr
    test    ecx, ecx
    js      \fail
34: xor     eax, eax
    or      rdi, {BUSY}
    lock cmpxchg [rdx + rcx], rdi
    jne     \fail
    # rax = the frame, rdx = its key
    mov     rax, rcx
    shl     rax, 4
    lea     rax, [rdx + rax + {BUCKET_FRAMES}]
    add     rdx, rcx
    xor     rdi, {BUSY}
    mov     rcx, [rdi]
    mov     [rax + {HOME}], rcx
    mov     [rax + {SLOT}], rdi
    mov     rcx, [rip + {hooks} + {STARTED}]
    mov     [rax + {BOUND}], rcx
    mov     [rax + {FRAME_SITE}], rsi
    xor     ecx, ecx                    # what a free place has of the others
    mov     [rax + {DEPTH}], rcx
    mov     [rax + {CALLED}], rcx
    mov     rsi, [rip + {hooks} + {THREAD_AT}]
    cmp     qword ptr [rip + {hooks} + {THREAD_KIND}], 1
    jb      37f
    ja      36f
    mov     rcx, fs:[rsi]
    jmp     37f
36: mov     rcx, [rsi]
37: mov     [rax + {FRAME_THREAD}], rcx
    mov     rcx, [rsp]
    mov     [rax + {ARGUMENTS}], rcx
    mov     rcx, [rsp + 8]
    mov     [rax + {ARGUMENTS} + 8], rcx
    mov     rcx, [rsp + 16]
    mov     [rax + {ARGUMENTS} + 16], rcx
    mov     rcx, [rsp + 24]
    mov     [rax + {ARGUMENTS} + 24], rcx
    mov     [rax + {ARGUMENTS} + 32], r8
    mov     [rax + {ARGUMENTS} + 40], r9
    mov     rcx, [rax + {FRAME_SITE}]
    test    dword ptr [rcx + {SITE_FLAGS}], {TIMED}
    jz      38f
    mov     rcx, rax
    mov     rsi, rdx
    ubpf_hook_now
    mov     [rcx + {ENTERED}], rax
    mov     rax, rcx
    mov     rdx, rsi
38:
    # The frame is complete: now the slot leads to the pad, and then others may look at it.
    lea     rcx, [rip + ubpf_return_pad]
    mov     [rdi], rcx
    mov     [rdx], rdi
    .endm

    .section .text.ubpf_hook_entry,"ax",@progbits
    .p2align 4
    .globl  ubpf_hook_entry
    .type   ubpf_hook_entry, @function
ubpf_hook_entry:
    .cfi_startproc
    ubpf_push rax, rcx, rdx, rsi, rdi
    mov     rdi, [rsp + 40]             # key of a patched site: the return address
.Lubpf_hook_rest:
    cld

    # rsi = the site with key rdi, from the hash table of attached sites
    mov     rsi, [rip + {hooks} + {TABLE}]
    movabs  rax, {GOLDEN}
    imul    rax, rdi
    mov     rcx, [rsi + {TABLE_SHIFT}]
    shr     rax, cl
    mov     rdx, [rsi + {TABLE_MASK}]
    mov     rsi, [rsi + {TABLE_ENTRIES}]
2:  and     rax, rdx
    mov     rcx, rax
    shl     rcx, 4
    cmp     [rsi + rcx], rdi
    je      3f
    cmp     qword ptr [rsi + rcx], 0
    je      20f                         # detached meanwhile, or never attached
    inc     rax
    jmp     2b
3:  mov     rsi, [rsi + rcx + 8]

    # recursion: a hook's own stack lies in the pool
    mov     rax, rsp
    sub     rax, [rip + {hooks} + {POOL_BASE}]
    cmp     rax, [rip + {hooks} + {POOL_LEN}]
    jb      29f

    # Where only programs at returns are, the call is remembered here: no area is needed.
    cmp     qword ptr [rsi + {SITE_FLAGS}], {RETURNS}
    je      30f

35: ubpf_push r8, r9, r10, r11, rbx
    .cfi_rel_offset rbx, 0

    ubpf_may_leave 8f
    # rcx = claimed area, rdx = its control block
    ubpf_claim_area 8f

    # over to the area's stack, which ends below the control block; rbx = the traced stack
    ubpf_enter_area
    # enter(key = rdi, site = rsi, frame = rdx, control = rcx, frame pointer = r8)
    mov     rdx, rbx
    mov     r8, rbp
    call    {enter}

    ubpf_leave_area
    jmp     9f

    # no area, or none to be had here: count a miss, touching no vector register
8:  lock inc qword ptr [rsi + {SITE_MISSES}]

9:  pop     rbx
    .cfi_adjust_cfa_offset -8
    .cfi_same_value rbx
    ubpf_pop r11, r10, r9, r8
19: .cfi_remember_state
    ubpf_pop rdi, rsi, rdx, rcx, rax
    ret
    .cfi_restore_state

    # recursion: count a miss
29: lock inc qword ptr [rsi + {SITE_MISSES}]
    jmp     19b

    # Of no site: perhaps from a gate that the pad has called.
20: lea     rax, [rip + .Lubpf_return_called]
    cmp     rdi, rax
    je      21f
    lea     rax, [rip + .Lubpf_return_called_back]
    cmp     rdi, rax
    jne     19b
21:
    .cfi_remember_state
    ubpf_push r8, r9, r10, r11, rbx
    jmp     .Lubpf_return_generally
    .cfi_restore_state

    # As frames::take does it, where nothing is in the way.
30: ubpf_take_frame 48, 39f
    jmp     19b

    # Something is in the way.
39: mov     rdi, [rsp + 40]
    jmp     35b
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
2:  ubpf_push rax, rcx, rdx, rsi, rdi
    jmp     .Lubpf_hook_rest
    .cfi_endproc
    .size   ubpf_instrument_entry, . - ubpf_instrument_entry

# void ubpf_sample(registers = rdi, passed = rsi, of = rdx): what the platform's timer calls. Of the stack of what called it it takes 16 bytes. No
# vector register is changed, not even by what it calls: an interrupt need not keep them.
    .section .text.ubpf_sample,"ax",@progbits
    .p2align 4
    .globl  ubpf_sample
    .type   ubpf_sample, @function
ubpf_sample:
    .cfi_startproc
    ubpf_push rbx
    .cfi_rel_offset rbx, 0
    mov     r9, rdx
    ubpf_claim_area 8f
    mov     r10, rsi
    ubpf_enter_area
    # tick(registers = rdi, passed = rsi, of = rdx, control = rcx)
    mov     rsi, r10
    mov     rdx, r9
    call    {tick}
    ubpf_leave_area
    jmp     9f
8:  lock inc qword ptr [rip + {hooks} + {UNSEEN_TICKS}]
9:  ubpf_pop rbx
    .cfi_same_value rbx
    ret
    .cfi_endproc
    .size   ubpf_sample, . - ubpf_sample

# Where a program that is called directly goes for a helper: as machine code calls helpers, r1 to r5 in rdi, rsi, rdx, rcx, r8; on the stack the
# return address and the helper's number; the block in r9, the end of the frame in rbp, and in rax what is given when no area is free, which
# is counted. Gives r0 in rax; changes r10 and r11 besides.
    .section .text.ubpf_hook_helper,"ax",@progbits
    .globl  ubpf_hook_helper
    .type   ubpf_hook_helper, @function
ubpf_hook_helper:
    .cfi_startproc
    ubpf_push rax, r8, rcx, rdx, rsi, rdi, r9, rbx
    cld
    ubpf_may_leave 8f
    ubpf_claim_area 8f
    ubpf_enter_area
    # helper(block, number, args, frame_end)
    mov     rdi, [rbx + 8]
    mov     rsi, [rbx + 72]
    lea     rdx, [rbx + 16]
    mov     rcx, rbp
    call    {helper}
    mov     r10, rax
    ubpf_leave_area
    mov     [rsp + 56], r10
    jmp     9f
8:  lock inc qword ptr [rip + {hooks} + {HELPERS_MISSED}]
9:  ubpf_pop rbx, r9, rdi, rsi, rdx, rcx, r8, rax
    ret     8
    .cfi_endproc
    .size   ubpf_hook_helper, . - ubpf_hook_helper

# Where a trampoline makes the call come back that it was entered by: rax = the site, and 1 where the trampoline goes on to ubpf_return_call; on
# the stack the return address, rax of the function, where the function goes on, and the slot. Equal where it comes back. Changes rax.
    .section .text.ubpf_hook_take,"ax",@progbits
    .p2align 4
    .globl  ubpf_hook_take
    .type   ubpf_hook_take, @function
ubpf_hook_take:
    .cfi_startproc
    ubpf_push rax, rcx, rdx, rsi, rdi
    mov     rsi, rax
    and     rsi, -2
    # A hook's own calls do not come back.
    mov     rax, rsp
    sub     rax, [rip + {hooks} + {POOL_BASE}]
    cmp     rax, [rip + {hooks} + {POOL_LEN}]
    jb      8f
    ubpf_take_frame 64, 8f
    mov     rcx, [rsp + 32]
    and     ecx, 1
    mov     [rax + {CALLED}], rcx
    cmp     eax, eax
9:  .cfi_remember_state
    ubpf_pop rdi, rsi, rdx, rcx, rax
    ret
    .cfi_restore_state
8:  test    rsp, rsp                    # not 0
    jmp     9b
    .cfi_endproc
    .size   ubpf_hook_take, . - ubpf_hook_take

# rax = how long the call of the frame rax has taken, in ns; 0 where nobody knows when it began.
    .section .text.ubpf_hook_took,"ax",@progbits
    .p2align 4
    .globl  ubpf_hook_took
    .type   ubpf_hook_took, @function
ubpf_hook_took:
    .cfi_startproc
    ubpf_push rdx, rcx
    mov     rcx, [rax + {ENTERED}]
    ubpf_hook_now
    sub     rax, rcx
    mov     edx, 0
    cmovb   rax, rdx
    test    rcx, rcx
    cmovz   rax, rdx
    ubpf_pop rcx, rdx
    ret
    .cfi_endproc
    .size   ubpf_hook_took, . - ubpf_hook_took
