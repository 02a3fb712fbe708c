/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Functions called as Unikraft calls the handlers of system calls, when a line is read: 30 of `write`, one through the handler that sets errno,
 * which calls the other one, one error among them; a `getpid` of which the compiler has put one handler into the other; a `close` that makes
 * a `write` of its own; a `chdir` that fails, of which there is only the handler that sets errno; a `dup` that jumps to another handler of it.
 */
#include <errno.h>
#include "lines.h"

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

__attribute__((noipa)) long uk_syscall_e_chdir(const char *path)
{
	if (path)
		return 0;
	errno = ENOENT;
	return -1;
}

__attribute__((noipa)) long uk_syscall_do_dup(long fd)
{
	return fd + 1;
}

__attribute__((noipa, optimize("optimize-sibling-calls"))) long uk_syscall_r_dup(long fd)
{
	return uk_syscall_do_dup(fd);
}

int main(int argc, char **argv)
{
	char line[LINE];

	if (!is_started(argc, argv))
		return 1;
	while (is_asked(line)) {
		for (int n = 0; n < 29; n++)
			uk_syscall_r_write(n == 0 ? -1 : 1, 0x123456, n);
		uk_syscall_e_write(2, 0, 40);
		uk_syscall_e_getpid();
		uk_syscall_r_close(3);
		if (uk_syscall_e_chdir(NULL) != -1 || errno != ENOENT)
			return 1;
		uk_syscall_r_dup(4);
		say("done");
	}
	return 0;
}
