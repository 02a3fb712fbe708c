    r0 = r3
    r0 |= r4
    r0 |= r5
    r0 |= r6
    r0 |= r7
    r0 |= r8
    r0 |= r9
    exit
