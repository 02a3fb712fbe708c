    goto +1
    r0 = 0x95 ll
    exit
