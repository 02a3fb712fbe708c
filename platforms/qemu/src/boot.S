# Entry from QEMU through the PVH note: 32-bit protected mode, paging off, EBX = start info. Maps the first 4 GiB
# one to one, switches to 64-bit mode and calls kernel_main(start info) on the boot stack. AT&T syntax.

.section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18              # name and description size, type XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long boot_entry

.section .text.boot, "ax"
.code32
.global boot_entry
.type boot_entry, @function
boot_entry:
    cli
    cld
    movl $BOOT_STACK_TOP, %esp

    movl $(BOOT_TABLES + 0x1003), BOOT_TABLES           # PML4[0] -> PDPT
    movl $(BOOT_TABLES + 0x2003), %eax                  # PDPT[0..4] -> the four page directories
    movl $(BOOT_TABLES + 0x1000), %edi
    movl $4, %ecx
1:  movl %eax, (%edi)
    addl $0x1000, %eax
    addl $8, %edi
    decl %ecx
    jnz 1b

    movl $0x83, %eax                                    # present, writable, 2 MiB
    movl $(BOOT_TABLES + 0x2000), %edi
    movl $2048, %ecx
2:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    decl %ecx
    jnz 2b

    movl $kernel_main, %esi
boot_paging:                                            # ESI = where to go, EBX = its argument, ESP = its stack
    movl %cr4, %eax
    orl $0x620, %eax                                    # PAE, OSFXSR, OSXMMEXCPT
    movl %eax, %cr4
    movl $BOOT_TABLES, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x900, %eax                                    # EFER: LME, NXE
    wrmsr
    movl %cr0, %eax
    andl $~0xc, %eax                                    # EM and TS off
    orl $0x80010023, %eax                               # PG, WP, NE, MP, PE
    movl %eax, %cr0
    lgdt boot_gdt_pointer
    ljmp $8, $boot_long
.size boot_entry, . - boot_entry

# The second CPU comes from second_begin; the page tables are those in use by then.
.type boot_second, @function
boot_second:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $SECOND_STACK_TOP, %esp
    movl $second_main, %esi
    jmp boot_paging
.size boot_second, . - boot_second

.code64
.type boot_long, @function
boot_long:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    fninit
    movl %esp, %esp                                     # clears the upper half
    xorl %ebp, %ebp
    movl %ebx, %edi
    movl %esi, %esi
    call *%rsi
    ud2
.size boot_long, . - boot_long

.section .rodata.boot, "a"
    .balign 8
boot_gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff     # none, 64-bit code, data
    .quad 0x00cf9b000000ffff                            # 32-bit code
boot_gdt_pointer:
    .word 31
    .long boot_gdt

# Where the second CPU begins: real mode, copied to a page below 1 MiB.
.section .rodata.second, "a"
.code16
.global second_begin, second_end
second_begin:
    cli
    cld
    lgdtl %cs:(second_gdt - second_begin)
    movl %cr0, %eax
    orl $1, %eax                                        # PE
    movl %eax, %cr0
    ljmpl $24, $boot_second
    .balign 4
second_gdt:
    .word 31
    .long boot_gdt
second_end:
.code64
