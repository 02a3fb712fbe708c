/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Functions called as Unikraft calls the handlers of system calls, when a line is read: 30 of `write`, one through the handler that sets errno,
 * which calls the other one, one error among them; a `getpid` of which the compiler has put one handler into the other; a `close` that makes
 * a `write` of its own.
 */
#include "ubpf_linux.h"
#include <stdio.h>

__attribute__((noipa)) long uk_syscall_r_write(long fd, long buffer, long size)
{
	(void)buffer;
	return fd < 0 ? -9 : size;
}

__attribute__((noipa)) long uk_syscall_e_write(long fd, long buffer, long size)
{
	long result = uk_syscall_r_write(fd, buffer, size);

	return result < 0 ? -1 : result;
}

__attribute__((noipa)) long uk_syscall_e_getpid(void)
{
	return 7;
}

__attribute__((noipa)) long uk_syscall_r_close(long fd)
{
	return uk_syscall_e_write(fd, 0, 0);
}

int main(int argc, char **argv)
{
	char line[16];

	if (argc < 2 || ubpf_linux_start(argv[1]) != 0)
		return 1;
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) != NULL) {
		for (int n = 0; n < 29; n++)
			uk_syscall_r_write(n == 0 ? -1 : 1, 0x123456, n);
		uk_syscall_e_write(2, 0, 40);
		uk_syscall_e_getpid();
		uk_syscall_r_close(3);
		puts("done");
		fflush(stdout);
	}
	return 0;
}
