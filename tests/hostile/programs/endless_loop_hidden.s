    r3 = 1
again: r3 *= 3
    if r3 == 0 goto out
    goto again
out: r0 = 0
    exit
