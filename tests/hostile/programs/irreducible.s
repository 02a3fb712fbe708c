    if r2 == 1 goto b
a:  r2 += 1
    if r2 == 9 goto out
b:  r2 += 2
    if r2 != 4096 goto a
out: r0 = r2
    exit
