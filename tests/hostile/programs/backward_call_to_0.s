    r6 = r1
    goto +1
    exit
    r1 = r6
    call local -5
    goto -4
