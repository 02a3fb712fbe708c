    call local f
    *(u64 *)(r0 - 8) = 7
    call local g
    exit
f:  r0 = r10
    exit
g:  r0 = *(u64 *)(r10 - 8)
    exit
