# What helpers of hash maps do inline: the kind's layout (maps/hash.rs), whose address is in r11; the key, one word, is in r10. As helpers are
# called (number pushed); they change rax, r10, r11. What is not decided within a few slots, is being changed by somebody or needs more than that
# goes the slow way, with the registers and the stack as they came.

    .section .text.ubpf_jit,"ax",@progbits

    .macro ubpf_jit_hash_push
    .irp    register, rbx, rcx, rdx, rsi, rdi, r8
    push    \register
    .endr
    .endm

    .macro ubpf_jit_hash_pop
    .irp    register, r8, rdi, rsi, rdx, rcx, rbx
    pop     \register
    .endr
    .endm

# Looks for the key. r8 = its hash; rbx = the slots, rdi = the keys. Falls through where it stands in slot rax, with state rcx and entry rdx; to
# `absent` where it does not, to `far` where nobody knows yet. Changes rsi.
    .macro ubpf_jit_hash_search absent, far
    movabs  rcx, {HASH_TWO}
    mov     rax, r10
    xor     rax, [r11 + {HASH_SEED}]
    movabs  r8, {HASH_ONE}
    xor     rax, r8
    mul     rcx
    xor     rax, rdx
    xor     rax, rcx
    mul     r8
    xor     rax, rdx
    mov     r8, rax
    mov     rbx, [r11 + {HASH_SLOTS}]
    mov     rdi, [r11 + {HASH_KEYS}]
    mov     esi, {HASH_NEAR}
20: and     rax, [r11 + {HASH_MASK}]
    mov     rcx, [rbx + 8 * rax]
    test    cl, {HASH_FULL}
    jz      21f
    mov     edx, ecx
    shr     edx, {HASH_ENTRY_SHIFT}
    and     edx, {HASH_ENTRY_MASK}
    cmp     [rdi + 8 * rdx], r10
    je      23f
22: inc     rax
    dec     esi
    jnz     20b
    jmp     \far
21: test    cl, {HASH_DELETED}
    jnz     22b
    jmp     \absent
    # A slot that has changed has had its key taken off: it is not there, or stands elsewhere as a new one.
23: mov     rsi, [rbx + 8 * rax]
    xor     rsi, rcx
    test    rsi, ~{HASH_HELD}
    jnz     \far
    .endm

# rdx = the address of the value of entry rdx, in the lane of the run. Changes rsi.
    .macro ubpf_jit_hash_value
    imul    rdx, [r11 + {HASH_STRIDE}]
    mov     rsi, [r11 + {HASH_APART}]
    imul    rsi, [r9 + {LANE}]
    add     rdx, [r11 + {HASH_VALUES}]
    add     rdx, rsi
    .endm

# Copies the value that the program has given, in rdx, to rdx. Changes rsi, rdi, r10.
    .macro ubpf_jit_hash_copy
    mov     rsi, [rsp + 32]
    mov     r10, [r11 + {HASH_WORDS}]
30: mov     rdi, [rsi + 8 * r10 - 8]
    mov     [rdx + 8 * r10 - 8], rdi
    dec     r10
    jnz     30b
    .endm

# bpf_map_lookup_elem.
    .p2align 4
    .globl  ubpf_jit_hash_get
    .hidden ubpf_jit_hash_get
ubpf_jit_hash_get:
    ubpf_jit_hash_push
    ubpf_jit_hash_search 4f, 5f
    ubpf_jit_hash_value
    mov     rax, rdx
3:  ubpf_jit_hash_pop
    ret     8
4:  xor     eax, eax
    jmp     3b
5:  ubpf_jit_hash_pop
    xor     eax, eax                    # what is given where the helper cannot be called
    jmp     qword ptr [r9 + {HELPER_KEEP}]

# bpf_map_update_elem.
    .p2align 4
    .globl  ubpf_jit_hash_put
    .hidden ubpf_jit_hash_put
ubpf_jit_hash_put:
    ubpf_jit_hash_push
    push    r13
    test    rcx, rcx                    # flags
    jnz     9f
    ubpf_jit_hash_search 4f, 9f
    test    cl, {HASH_HELD}
    jnz     9f
    lea     rbx, [rbx + 8 * rax]
    mov     rax, rcx
    or      rcx, {HASH_HELD}
    lock cmpxchg [rbx], rcx
    jne     9f
    ubpf_jit_hash_value
    ubpf_jit_hash_copy
    mov     [rbx], rax
3:  xor     eax, eax
    pop     r13
    ubpf_jit_hash_pop
    ret     8

    # A new key: who adds is alone, and looks again. Of values per CPU others than this one are to be changed.
4:  cmp     qword ptr [r11 + {HASH_APART}], 0
    jne     9f
    mov     eax, 1
    xchg    [r11 + {HASH_ADDING}], al
    test    al, al
    jnz     9f
    mov     rax, r8
    mov     esi, {HASH_NEAR}
    mov     r13, -1
5:  and     rax, [r11 + {HASH_MASK}]
    mov     rcx, [rbx + 8 * rax]
    test    cl, {HASH_FULL}
    jnz     6f
    test    r13, r13                    # the first that has room
    cmovs   r13, rax
    test    cl, {HASH_DELETED}
    jz      7f
    jmp     61f
6:  mov     edx, ecx
    shr     edx, {HASH_ENTRY_SHIFT}
    and     edx, {HASH_ENTRY_MASK}
    cmp     [rdi + 8 * rdx], r10
    je      8f
61: inc     rax
    dec     esi
    jnz     5b
    jmp     8f
7:  mov     ecx, [r11 + {HASH_FREE}]
    sub     ecx, 1
    jb      8f
    mov     rdx, [r11 + {HASH_NEXT}]
    mov     edx, [rdx + 4 * rcx]
    mov     [r11 + {HASH_FREE}], edx
    mov     [rdi + 8 * rcx], r10
    mov     rdx, rcx
    ubpf_jit_hash_value
    ubpf_jit_hash_copy
    mov     rax, [rbx + 8 * r13]
    shr     rax, {HASH_VERSION_SHIFT}
    shl     rax, {HASH_VERSION_SHIFT}
    shr     r8, 64 - ({HASH_VERSION_SHIFT} - {HASH_TAG_SHIFT})
    shl     r8, {HASH_TAG_SHIFT}
    or      rax, r8
    shl     ecx, {HASH_ENTRY_SHIFT}
    or      ecx, {HASH_FULL}
    or      rax, rcx
    mov     [rbx + 8 * r13], rax
    inc     dword ptr [r11 + {HASH_COUNT}]
    mov     byte ptr [r11 + {HASH_ADDING}], 0
    jmp     3b
8:  mov     byte ptr [r11 + {HASH_ADDING}], 0
9:  pop     r13
    ubpf_jit_hash_pop
    mov     rax, {BUSY_CODE}            # what is given where the helper cannot be called
    jmp     qword ptr [r9 + {HELPER_KEEP}]

# bpf_map_delete_elem.
    .p2align 4
    .globl  ubpf_jit_hash_delete
    .hidden ubpf_jit_hash_delete
ubpf_jit_hash_delete:
    ubpf_jit_hash_push
    push    r13
    ubpf_jit_hash_search 4f, 9b
    test    cl, {HASH_HELD}
    jnz     9b
    mov     rsi, rax
    mov     rax, rcx
    and     rcx, -4
    movabs  r10, (1 << {HASH_VERSION_SHIFT}) | {HASH_DELETED}
    add     rcx, r10
    lock cmpxchg [rbx + 8 * rsi], rcx
    jne     9b
    mov     rdi, [r11 + {HASH_NEXT}]
    mov     eax, 1
    xchg    [r11 + {HASH_ADDING}], al
    test    al, al
    jnz     7f
    # The entry is free.
    mov     eax, [r11 + {HASH_FREE}]
    mov     [rdi + 4 * rdx], eax
    inc     edx
    mov     [r11 + {HASH_FREE}], edx
    dec     dword ptr [r11 + {HASH_COUNT}]
    # Where no key can lie behind deleted slots they are empty.
    lea     rax, [rsi + 1]
    and     rax, [r11 + {HASH_MASK}]
    test    byte ptr [rbx + 8 * rax], {HASH_FULL} | {HASH_DELETED}
    jnz     6f
    mov     edi, {HASH_CLEANED}
5:  mov     rcx, [rbx + 8 * rsi]
    mov     eax, ecx
    and     eax, {HASH_FULL} | {HASH_DELETED}
    cmp     eax, {HASH_DELETED}
    jne     6f
    shr     rcx, {HASH_VERSION_SHIFT}
    shl     rcx, {HASH_VERSION_SHIFT}
    mov     [rbx + 8 * rsi], rcx
    dec     rsi
    and     rsi, [r11 + {HASH_MASK}]
    dec     edi
    jnz     5b
6:  mov     byte ptr [r11 + {HASH_ADDING}], 0
3:  xor     eax, eax
    pop     r13
    ubpf_jit_hash_pop
    ret     8
4:  mov     rax, {NO_ENTRY_CODE}
    pop     r13
    ubpf_jit_hash_pop
    ret     8
    # Somebody adds a key.
7:  lock inc dword ptr [r11 + {HASH_REMOVED}]
    mov     eax, [r11 + {HASH_RETURNED}]
8:  mov     [rdi + 4 * rdx], eax
    lea     ecx, [rdx + 1]
    lock cmpxchg [r11 + {HASH_RETURNED}], ecx
    jne     8b
    jmp     3b
