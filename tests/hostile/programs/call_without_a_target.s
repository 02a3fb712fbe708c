    r0 = 7
    if r1 == 0 goto out
    call local -1
out: exit
