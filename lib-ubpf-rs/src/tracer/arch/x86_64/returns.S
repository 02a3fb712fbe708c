# Gives the place of the frame rdi back; rdi = the one below it, or 0. Changes rax, rcx, rdx.
    .macro ubpf_release_frame
    mov     rax, rdi
    and     rax, -{BUCKET_BYTES}
    mov     rcx, rdi
    sub     rcx, rax
    sub     rcx, {BUCKET_FRAMES}
    shr     rcx, 4
    add     rcx, rax                    # its key
    mov     rax, [rdi + {BELOW}]
    mov     rdx, [rdi + {ELSEWHERE}]
    mov     qword ptr [rdi + {BELOW}], 0
    mov     qword ptr [rdi + {ELSEWHERE}], 0
    mov     qword ptr [rdi + {FRAME_SITE}], 0
    mov     rdi, rax
    mov     qword ptr [rcx], 0
    test    rdx, rdx
    jz      17f
    lock dec qword ptr [rdx]
17:
    .endm

# Calls the gate for returns of the site of the frame rdi, which finds the frame on the stack; the call returns to `label`. To `none` where the site
# has no such gate, to `over` where the frame has been given back meanwhile.
    .macro ubpf_call_return_gate label, none, over
    mov     rax, [rdi + {FRAME_SITE}]
    mov     rdx, [rax + {RETURN_GATE}]
    test    rdx, rdx
    jz      \none
    push    rdi
    .cfi_adjust_cfa_offset 8
    call    rdx
\label:
    pop     rdi
    .cfi_adjust_cfa_offset -8
    test    rdi, rdi
    jz      \over
    .endm

# Runs the programs of the frame rdi and of those below it, and gives their places back. So far above rsp are ten saved registers; all but those
# may be changed. Without an area it is a miss of each.
    .macro ubpf_run_frames registers=0
    ubpf_may_leave 18f
    ubpf_claim_area 18f
    ubpf_enter_area
    # leave(frame = rdi, registers = rsi, control = rdx, frame pointer = rcx)
    lea     rsi, [rbx + \registers]
    mov     rdx, rcx
    mov     rcx, rbp
    call    {leave}
    ubpf_leave_area
    jmp     19f
18: mov     rax, [rdi + {FRAME_SITE}]
    lock inc qword ptr [rax + {RETURN_MISSES}]
    ubpf_release_frame
    test    rdi, rdi
    jnz     18b
19:
    .endm

# The pad: where a call comes back whose return programs wait for. The function's `ret` leads here, with the stack as the caller is to have it;
# below it lies the slot, in which our address stood. The frame of the slot says where the caller is (frames.rs). Every register comes back as
# the function has left it.
#
# On the traced stack, where the function had its own things: the slot, five registers, and five more on the general way, 88 bytes; on the short way
# what jit/x86_64/trampoline.rs counts.
#
# An unwinder that finds our address in a stack finds the caller as the code does: the expression is for the place of the return address, from
# the CFA. rip, for it, is the pad, or what a signal has interrupted in its first instructions: both lie in one block of 256 bytes, at the
# beginning of which stands how far the data of the hooks is. It looks up the address less one: that is the call.

    .section .text.ubpf_return_pad,"ax",@progbits
    .p2align 8
.Lubpf_return_base:
    .long   {hooks} - .Lubpf_return_base
    .byte   0, 0, 0, 0, 0, 0, 0, 0
    .type   ubpf_return_pad, @function
    .cfi_startproc
    .cfi_remember_state
    # An unwinder knows frames by their CFA: this one's is another than that of the function that returned, and rsp is what lies below it.
    .cfi_def_cfa rsp, 1
    .cfi_escape 0x16, 7, 2, 0x31, 0x1c
    # DW_CFA_expression for rip, and its length
    .cfi_escape 0x10, 16, 111
    # slot: CFA - 9; twice, since libgcc does not pick what lies at the bottom
    .cfi_escape 0x39, 0x1c, 0x12
    # slot, data of the hooks: the beginning of the block, and what stands there
    .cfi_escape 0x80, 0x00, 0x0b, 0x00, 0xff, 0x1a, 0x12, 0x94, 0x04, 0x08, 0x20, 0x24, 0x08, 0x20, 0x26, 0x22
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
    # The body of a function, by a call: so the CPU expects its return here. The slot is below the stack pointer, and below that stands where the
    # body is.
    .globl  ubpf_return_call
ubpf_return_call:
    call    qword ptr [rsp - 16]
    .globl  ubpf_return_pad
ubpf_return_pad:
    lea     rsp, [rsp - 8]              # the slot
    .cfi_adjust_cfa_offset 8
    ubpf_push rax, rcx, rdx, rsi, rdi
    cld

    # rdi = the key of the slot rsi, in the bucket rax or one of those behind it
    lea     rsi, [rsp + 40]
    movabs  rax, {GOLDEN}
    imul    rax, rsi
    mov     rcx, [rip + {hooks} + {FRAMES_SHIFT}]
    shr     rax, cl
    shl     rax, {BUCKET_BITS}
    add     rax, [rip + {hooks} + {FRAMES}]
    mov     ecx, {REACH}
2:  mov     rdi, rax
4:  mov     rdx, [rdi]
    and     rdx, -8
    cmp     rdx, rsi
    je      3f
    add     rdi, 8
    mov     edx, edi
    and     edx, 63
    cmp     edx, 56
    jne     4b
    add     rax, {BUCKET_BYTES}
    dec     ecx
    jnz     2b
    ud2                                 # a copy of a stack: nobody knows where it returns to

    # rdi = its frame
3:  sub     rdi, rax
    lea     rdx, [rsi + {BUSY}]
    mov     [rax + rdi], rdx
    shl     rdi, 4
    lea     rdi, [rax + rdi + {BUCKET_FRAMES}]
    mov     rdx, [rdi + {HOME}]
    mov     [rsi], rdx
    .cfi_restore_state
    .cfi_def_cfa rsp, 48
    cmp     qword ptr [rdi + {CALLED}], 0
    jne     7f

    # Programs that run directly: their gate finds the frame on the stack, and the registers above it. It takes the general way where it must, and
    # then puts 0 in place of the frame, since it has been through all of them.
5:  ubpf_call_return_gate .Lubpf_return_called, 6f, 9f
    ubpf_release_frame
    test    rdi, rdi
    jnz     5b
9:  ubpf_pop rdi, rsi, rdx, rcx, rax
    # Not by `ret`: the CPU remembers where outer functions return to, and the function's own took this one's place.
    lea     rsp, [rsp + 8]
    .cfi_adjust_cfa_offset -8
    jmp     qword ptr [rsp - 8]

    # The same for a function that was called above the pad: it has one frame, of which nothing lies elsewhere, and this one's return goes
    # where the CPU expects it.
7:  .cfi_def_cfa rsp, 48
    ubpf_call_return_gate .Lubpf_return_called_back, 6f, 8f
    mov     rax, rdi
    and     rax, -{BUCKET_BYTES}
    mov     rcx, rdi
    sub     rcx, rax
    sub     rcx, {BUCKET_FRAMES}
    shr     rcx, 4
    mov     qword ptr [rdi + {FRAME_SITE}], 0
    mov     qword ptr [rax + rcx], 0
8:  ubpf_pop rdi, rsi, rdx, rcx, rax
    ret

    # The general way: the other registers beside those that are saved, as at an entry
6:  .cfi_def_cfa rsp, 48
    mov     rax, [rdi + {CALLED}]
    ubpf_push r8, r9, r10, r11, rbx
    .cfi_rel_offset rbx, 0
    ubpf_push rax
    ubpf_run_frames 8
    ubpf_pop rcx, rbx, r11, r10, r9, r8
    test    rcx, rcx
    jz      9b
    jmp     8b
    .cfi_endproc
    .size   ubpf_return_pad, . - ubpf_return_pad

# The general way from a gate that the pad has called: ten registers are saved as at an entry, above them stand the return address into the pad,
# the frame, and the five registers that the pad has saved, which were the function's.
    .type   .Lubpf_return_generally, @function
.Lubpf_return_generally:
    .cfi_startproc
    .cfi_def_cfa rsp, 88
    .cfi_rel_offset rbx, 0
    .irp    at, 40, 48, 56, 64, 72
    mov     rax, [rsp + \at + 56]
    mov     [rsp + \at], rax
    .endr
    mov     rdi, [rsp + 88]
    mov     qword ptr [rsp + 88], 0
    ubpf_run_frames
    ubpf_pop rbx, r11, r10, r9, r8
    add     rsp, 40
    .cfi_adjust_cfa_offset -40
    ret
    .cfi_endproc
    .size   .Lubpf_return_generally, . - .Lubpf_return_generally
