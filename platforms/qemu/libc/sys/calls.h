/* System calls: what they are given and give is a register each, an error is negative. */
#pragma once
struct timespec {
	long tv_sec, tv_nsec;
};

long uk_syscall_r_write(long file, long text, long length);
long uk_syscall_r_nanosleep(long wanted, long left);
