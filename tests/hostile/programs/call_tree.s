    r6 = 0
    call local f1
    call local f1
    call local f1
    call local f1
    call local f1
    call local f1
    call local f1
    call local f1
    call local f1
    call local f1
    call local f1
    call local f1
    call local f1
    call local f1
    call local f1
    call local f1
    exit
f1: r0 = 1
    call local f2
    call local f2
    call local f2
    call local f2
    call local f2
    call local f2
    call local f2
    call local f2
    call local f2
    call local f2
    call local f2
    call local f2
    call local f2
    call local f2
    call local f2
    call local f2
    exit
f2: r0 = 2
    call local f3
    call local f3
    call local f3
    call local f3
    call local f3
    call local f3
    call local f3
    call local f3
    call local f3
    call local f3
    call local f3
    call local f3
    call local f3
    call local f3
    call local f3
    call local f3
    exit
f3: r0 = 3
    call local f4
    call local f4
    call local f4
    call local f4
    call local f4
    call local f4
    call local f4
    call local f4
    call local f4
    call local f4
    call local f4
    call local f4
    call local f4
    call local f4
    call local f4
    call local f4
    exit
f4: r0 = 4
    call local f5
    call local f5
    call local f5
    call local f5
    call local f5
    call local f5
    call local f5
    call local f5
    call local f5
    call local f5
    call local f5
    call local f5
    call local f5
    call local f5
    call local f5
    call local f5
    exit
f5: r0 = 5
    call local f6
    call local f6
    call local f6
    call local f6
    call local f6
    call local f6
    call local f6
    call local f6
    call local f6
    call local f6
    call local f6
    call local f6
    call local f6
    call local f6
    call local f6
    call local f6
    exit
f6: r0 = 6
    call local f7
    call local f7
    call local f7
    call local f7
    call local f7
    call local f7
    call local f7
    call local f7
    call local f7
    call local f7
    call local f7
    call local f7
    call local f7
    call local f7
    call local f7
    call local f7
    exit
f7: r0 = 7
    exit
