    r2 = 0x7fffffffffffffff ll
    r1 += r2
    r1 += r2
    r0 = *(u64 *)(r1 - 6)
    exit
