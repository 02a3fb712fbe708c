    w2 = 0
    w2 -= 1
    if w2 s> 63 goto out
    r2 <<= 32
    r2 s>>= 32
    r2 <<= 3
    r1 += r2
    *(u64 *)(r1 + 0) = 1
out: r0 = 0
    exit
