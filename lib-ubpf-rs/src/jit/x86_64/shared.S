# What every emitted program shares: the way in and out, the stops, the call of a helper, the searches of regions.
# r9 points BIAS bytes into the context; all offsets here count from there.

    .section .text.ubpf_jit,"ax",@progbits

# u64 ubpf_jit_enter(Context *context, code): runs emitted code until its end or a stop.
    .p2align 4
    .globl  ubpf_jit_enter
    .hidden ubpf_jit_enter
    .type   ubpf_jit_enter, @function
ubpf_jit_enter:
    push    rbx
    push    rbp
    push    r12
    push    r13
    push    r14
    push    r15
    push    rax                         # alignment
    lea     r9, [rdi + {BIAS}]
    mov     r10, rsi
    mov     [r9 + {SAVED_RSP}], rsp
    mov     r12, [r9 + {BUDGET}]
    mov     rbp, [r9 + {TOP}]
    mov     rdi, [r9 + {ARGS}]
    mov     rsi, [r9 + {ARGS} + 8]
    call    r10
.Lubpf_jit_out:
    mov     [r9 + {BUDGET}], r12
    pop     rcx
    pop     r15
    pop     r14
    pop     r13
    pop     r12
    pop     rbp
    pop     rbx
    ret
    .size   ubpf_jit_enter, . - ubpf_jit_enter

# Stops. Reached by a call, whose return address tells the instruction.
    .globl  ubpf_jit_stop_budget
    .hidden ubpf_jit_stop_budget
ubpf_jit_stop_budget:
    mov     dword ptr [r9 + {STOP}], {STOP_BUDGET}
    jmp     .Lubpf_jit_stop

    .globl  ubpf_jit_stop_depth
    .hidden ubpf_jit_stop_depth
ubpf_jit_stop_depth:
    mov     dword ptr [r9 + {STOP}], {STOP_DEPTH}
    jmp     .Lubpf_jit_stop

    .globl  ubpf_jit_stop_unaligned
    .hidden ubpf_jit_stop_unaligned
ubpf_jit_stop_unaligned:
    mov     dword ptr [r9 + {STOP}], {STOP_UNALIGNED}
    jmp     .Lubpf_jit_stop_addr

.Lubpf_jit_stop_memory:
    mov     dword ptr [r9 + {STOP}], {STOP_MEMORY}
.Lubpf_jit_stop_addr:
    mov     [r9 + {STOP_ADDR}], r11
.Lubpf_jit_stop:
    pop     qword ptr [r9 + {STOP_AT}]
    mov     rsp, [r9 + {SAVED_RSP}]
    jmp     .Lubpf_jit_out

# The end of a slice of the budget: reached as the stop is, and returns when there is a next one.
    .p2align 4
    .globl  ubpf_jit_refill
    .hidden ubpf_jit_refill
ubpf_jit_refill:
    push    rax
    push    rcx
    push    rdx
    push    rsi
    push    rdi
    push    r8
    push    r10
    push    r11
    mov     [r9 + {BUDGET}], r12
    mov     [r9 + {HELPER_RSP}], rsp
    lea     rdi, [r9 - {BIAS}]
    and     rsp, -16
    push    r9
    push    r9
    call    qword ptr [r9 + {REFILL}]
    pop     r9
    mov     rsp, [r9 + {HELPER_RSP}]
    mov     r12, [r9 + {BUDGET}]
    pop     r11
    pop     r10
    pop     r8
    pop     rdi
    pop     rsi
    pop     rdx
    pop     rcx
    pop     rax
    cmp     dword ptr [r9 + {STOP}], {STOP_NONE}
    jne     .Lubpf_jit_stop
    ret

# Helper call: [rsp] return address, [rsp + 8] the helper's number, r1 to r5 in their registers. Gives r0. (Where a program runs directly,
# a routine of the tracer stands here, to which rax says what to give when the helper cannot be called.)
    .p2align 4
    .globl  ubpf_jit_helper
    .hidden ubpf_jit_helper
ubpf_jit_helper:
    call    .Lubpf_jit_call
    ret     8

    .globl  ubpf_jit_helper_keep
    .hidden ubpf_jit_helper_keep
ubpf_jit_helper_keep:
    call    .Lubpf_jit_call
    mov     rdi, [r9 + {ARGS}]
    mov     rsi, [r9 + {ARGS} + 8]
    mov     rdx, [r9 + {ARGS} + 16]
    mov     rcx, [r9 + {ARGS} + 24]
    mov     r8, [r9 + {ARGS} + 32]
    ret     8

.Lubpf_jit_call:
    mov     [r9 + {ARGS}], rdi
    mov     [r9 + {ARGS} + 8], rsi
    mov     [r9 + {ARGS} + 16], rdx
    mov     [r9 + {ARGS} + 24], rcx
    mov     [r9 + {ARGS} + 32], r8
    mov     [r9 + {BUDGET}], r12
    mov     [r9 + {FRAME}], rbp
    mov     [r9 + {HELPER_RSP}], rsp
    mov     rsi, [rsp + 16]
    lea     rdi, [r9 - {BIAS}]
    and     rsp, -16
    push    r9
    push    r9
    call    qword ptr [r9 + {CALL}]
    pop     r9
    mov     rsp, [r9 + {HELPER_RSP}]
    mov     r12, [r9 + {BUDGET}]
    cmp     dword ptr [r9 + {STOP}], {STOP_NONE}
    jne     2f
    ret
2:  add     rsp, 8                      # the stop is that of the emitted call
    jmp     .Lubpf_jit_stop

# Searches: returns when `size` bytes at r11 lie wholly in one region, else stops. Uses r10.
    .macro ubpf_jit_search name, size, number, rodata
    .p2align 2
    .globl  \name
    .hidden \name
\name:
    mov     r10, r11
    sub     r10, [r9 + {ARGUMENT}]
    cmp     r10, [r9 + {ARGUMENT} + 8 + 8 * \number]
    jb      2f
    mov     r10, r11
    sub     r10, [r9 + {ARENA}]
    cmp     r10, [r9 + {ARENA} + 8 + 8 * \number]
    jb      2f
    .if \rodata
    mov     r10, r11
    sub     r10, [r9 + {RODATA}]
    cmp     r10, [r9 + {RODATA} + 8 + 8 * \number]
    jb      2f
    .endif
    # The frames in use: from r10 of the innermost, less one frame, to the end of the stack.
    mov     r10, [r9 + {TOP}]
    sub     r10, r11
    cmp     r10, \size
    jb      3f
    push    rax
    mov     rax, [r9 + {TOP}]
    sub     rax, rbp
    add     rax, {FRAME_BYTES}
    cmp     r10, rax
    pop     rax
    ja      3f
2:  ret
3:  push    rax
    push    rcx
    push    1 - \rodata
    mov     eax, 8 + 8 * \number
    .if \rodata
    mov     rcx, [r9 + {VALUES_ALL}]
    .else
    mov     rcx, [r9 + {VALUES_WRITABLE}]
    .endif
    jmp     .Lubpf_jit_search_values
    .endm

# The end of a search: among the values of rcx maps, then among the records that are held; rax bytes into the windows of which the limit
# stands. rcx and rax are on the stack, and below them 1 for a store. Where there are maps within maps, Rust looks among their values.
.Lubpf_jit_search_values:
    push    rdx
    mov     rdx, [r9 + {VALUES}]
    call    .Lubpf_jit_search_windows
    jb      2f
    lea     rdx, [r9 + {RECORDS}]
    mov     rcx, [r9 + {RECORDS_HELD}]
    call    .Lubpf_jit_search_windows
    jb      2f
    cmp     qword ptr [r9 + {WITHIN}], 0
    jne     4f
2:  pop     rdx
    lea     rsp, [rsp + 8]
    pop     rcx
    pop     rax
    jae     .Lubpf_jit_stop_memory
    ret
4:  push    rsi
    push    rdi
    push    r8
    push    r11
    lea     rdi, [r9 - {BIAS}]
    mov     rsi, r11
    lea     ecx, [rax - 8]
    shr     ecx, 3
    mov     edx, 1
    shl     edx, cl
    mov     ecx, [rsp + 40]
    mov     [r9 + {HELPER_RSP}], rsp
    and     rsp, -16
    push    r9
    push    r9
    call    qword ptr [r9 + {WITHIN}]
    pop     r9
    mov     rsp, [r9 + {HELPER_RSP}]
    pop     r11
    pop     r8
    pop     rdi
    pop     rsi
    neg     al                          # below: it is there
    jmp     2b

# Below is one of rcx windows from rdx on that has the address in r11.
.Lubpf_jit_search_windows:
    sub     rcx, 1
    jb      3f
    mov     r10, r11
    sub     r10, [rdx]
    cmp     r10, [rdx + rax]
    lea     rdx, [rdx + {WINDOW_BYTES}]
    jae     .Lubpf_jit_search_windows
    ret
3:  cmc
    ret

    ubpf_jit_search ubpf_jit_load_1, 1, 0, 1
    ubpf_jit_search ubpf_jit_load_2, 2, 1, 1
    ubpf_jit_search ubpf_jit_load_4, 4, 2, 1
    ubpf_jit_search ubpf_jit_load_8, 8, 3, 1
    ubpf_jit_search ubpf_jit_store_1, 1, 0, 0
    ubpf_jit_search ubpf_jit_store_2, 2, 1, 0
    ubpf_jit_search ubpf_jit_store_4, 4, 2, 0
    ubpf_jit_search ubpf_jit_store_8, 8, 3, 0

# rax = the time in ns; changes rdx.
    .macro ubpf_jit_now
    rdtsc
    shl     rdx, 32
    or      rax, rdx
    sub     rax, [r9 + {TICKS_START}]
    mul     qword ptr [r9 + {TICKS_SCALE}]
    shrd    rax, rdx, 32
    .endm

# bpf_get_func_ip and bpf_get_attach_cookie where the program runs directly, called as helpers are: the trampoline has put both above the
# frame. They change rax alone.
    .p2align 2
    .globl  ubpf_jit_func_ip
    .hidden ubpf_jit_func_ip
ubpf_jit_func_ip:
    mov     rax, [rbp]
    ret     8

    .p2align 2
    .globl  ubpf_jit_cookie
    .hidden ubpf_jit_cookie
ubpf_jit_cookie:
    mov     rax, [rbp + 8]
    ret     8

# bpf_time_get_ns, called as helpers are. Changes rax alone.
    .p2align 4
    .globl  ubpf_jit_time
    .hidden ubpf_jit_time
ubpf_jit_time:
    push    rdx
    ubpf_jit_now
    pop     rdx
    ret     8

# bpf_notify, called as helpers are: a record with the key in rdi goes into the output ring, as the ring's own code would do it. Changes
# rax, r10, r11.
    .p2align 4
    .globl  ubpf_jit_notify
    .hidden ubpf_jit_notify
ubpf_jit_notify:
    push    rdx
    push    rcx
    mov     rcx, [r9 + {RING_HEAD}]
    mov     rax, [rcx]
2:  mov     r10, rax
    and     r10, [r9 + {RING_MASK}]
    shl     r10, {RECORD_BITS}
    add     r10, [r9 + {RING_SLOTS}]
    mov     r11, [r10 + {RECORD_TURN}]
    sub     r11, rax
    jne     4f
    lea     r11, [rax + 1]
    lock cmpxchg [rcx], r11
    jne     2b
    mov     [r10 + {RECORD_KEY}], rdi
    mov     dword ptr [r10 + {RECORD_KIND}], {RECORD_NOTIFY}
    ubpf_jit_now
    mov     [r10 + {RECORD_TIME}], rax
    mov     [r10 + {RECORD_TURN}], r11
3:  xor     eax, eax
    pop     rcx
    pop     rdx
    ret     8
4:  js      5f
    mov     rax, [rcx]                  # somebody else has taken this position
    jmp     2b
5:  mov     rcx, [r9 + {RING_LOST}]     # full
    lock inc qword ptr [rcx]
    jmp     3b
