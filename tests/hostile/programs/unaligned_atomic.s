    r2 = 1
    lock *(u64 *)(r10 - 12) += r2
    r0 = 0
    exit
